r"""Quoting rules of line protocol, in both directions.

A backslash escapes `,` `=` space and itself in tag keys, tag values and field keys; `,` space and
itself in measurements; `"` and itself in strings. A backslash before anything else is an ordinary
character, so a name cannot hold a tab or a newline (`\` before one stays in the name), nor end in a
backslash; a measurement cannot start with `#`. The functions here do not check that.
Pure; any thread may call it.
"""

from __future__ import annotations

import re

__all__ = [
    "escape_field_key",
    "escape_measurement",
    "escape_string",
    "escape_tag",
    "unescape_key",
    "unescape_measurement",
    "unescape_string",
]

_MEASUREMENT = str.maketrans({"\\": "\\\\", ",": "\\,", " ": "\\ "})
_KEY = str.maketrans({"\\": "\\\\", ",": "\\,", " ": "\\ ", "=": "\\="})
_STRING = str.maketrans({"\\": "\\\\", '"': '\\"'})

# Any escaped character is taken, known or not: in `\x\\` the last two are one escape.
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_KNOWN_IN_MEASUREMENT = frozenset(", \\")
_KNOWN_IN_KEY = frozenset(", =\\")
_KNOWN_IN_STRING = frozenset('"\\')


def escape_measurement(name: str) -> str:
    """Return a table name as a measurement."""
    return name.translate(_MEASUREMENT)


def escape_tag(text: str) -> str:
    """Return a tag's key or value, escaped."""
    return text.translate(_KEY)


def escape_field_key(name: str) -> str:
    """Return a field's name, escaped."""
    return name.translate(_KEY)


def escape_string(value: str) -> str:
    """Return a string field's value, escaped and in double quotes."""
    return f'"{value.translate(_STRING)}"'


def unescape_measurement(text: str) -> str:
    """Return the table name that a measurement stands for."""
    return _unescape(text, _KNOWN_IN_MEASUREMENT)


def unescape_key(text: str) -> str:
    """Return the name that a tag key, tag value or field key stands for."""
    return _unescape(text, _KNOWN_IN_KEY)


def unescape_string(text: str) -> str:
    """Return the value of a quoted string, given what stands between the quotes."""
    return _unescape(text, _KNOWN_IN_STRING)


def _unescape(text: str, known: frozenset[str]) -> str:
    if "\\" not in text:
        return text

    def plain(escape: re.Match[str]) -> str:
        return escape[1] if escape[1] in known else escape[0]

    return _ESCAPED.sub(plain, text)
