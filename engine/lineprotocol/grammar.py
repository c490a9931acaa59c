r"""The exact grammar of one line: the definition of correct, and the source of every message.

    measurement[,tag=value...] field=value[,field=value...] [timestamp]

Where a line ends is told by `split.py`. The functions here read `body[start:end]` in place and
return positions in the body, so that nothing is copied. What does not fit the grammar raises
`Malformed` with the message for the user.

* A name ends at its separator or at a blank (space, tab, newline); only spaces separate the parts.
* A value is the longest text that looks like one: `tr` is `t` with `r` left over.
* A carriage return is an ordinary character.

Pure; any thread may call it.
Source: the line protocol parser of InfluxDB 3 Core, as described by its documentation.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from engine.lineprotocol.escape import unescape_key, unescape_measurement, unescape_string
from engine.model.schema import ColumnType

__all__ = [
    "FIELD_TYPES",
    "Fields",
    "Malformed",
    "plain_series",
    "read_fields",
    "read_series",
    "read_time",
    "series_text",
]

_MAX_STRING_BYTES = 1_048_576
_SURELY_SHORT = _MAX_STRING_BYTES // 4  # characters

# A field's type is the number of the group that matches its value in `_FIELD`: a small integer is
# much cheaper to hash than a member of an Enum.
FIELD_TYPES = {
    2: ColumnType.INTEGER,
    3: ColumnType.UINTEGER,
    4: ColumnType.FLOAT,
    5: ColumnType.STRING,
    6: ColumnType.BOOLEAN,
}
_STRING = 5
_WHOLE = {2: ("integer", -(2**63), 2**63 - 1), 3: ("unsigned integer", 0, 2**64 - 1)}
_SURELY_64_BITS = 18  # characters

_SERIES = re.compile(r"(?:[^ \\]++|\\.)*+", re.DOTALL)
_MEASUREMENT = re.compile(r"(?:[^ \t\n\0,\\]++|\\.?)++", re.DOTALL)
_KEY = re.compile(r"(?:[^ \t\n=\\]++|\\.?)++", re.DOTALL)
_TAG_VALUE = re.compile(r"(?:[^ \t\n,\\]++|\\.?)++", re.DOTALL)
_FIELD = re.compile(
    r"""((?:[^ \t\n=\\]++|\\.?)++)=(?:
        (-?[0-9]+)i
      | ([0-9]+)u
      | (-?[0-9]+(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?)
      | "((?:[^"\\]++|\\.)*+)"
      | ([tT]rue|TRUE|[tT]|[fF]alse|FALSE|[fF])
    )""",
    re.DOTALL | re.VERBOSE,
)
_SPACES = re.compile(r" *")
_TIME = re.compile(r" +(-?[0-9]+) *")

_BACKSLASH_AT_END = "Measurements, tag keys and values, and field keys may not end with a backslash"


class Malformed(ValueError):
    """A line does not fit the grammar; the text is the message for the user."""


class Fields(NamedTuple):
    """The field set of one line: three parallel tuples, and where it ends.

    Args:
        names: unescaped, in the order of the line; may repeat.
        types: keys of `FIELD_TYPES`.
        texts: values as text without quotes, escapes and suffixes; whole numbers are in range.
        end: position after the last value.
    """

    names: tuple[str, ...]
    types: tuple[int, ...]
    texts: tuple[str, ...]
    end: int


def series_text(body: str, start: int, end: int) -> str:
    """Return the text up to the first unescaped space, which is where a sound series ends."""
    found = _SERIES.match(body, start, end)
    return found[0] if found else ""


def plain_series(text: str) -> tuple[str, dict[str, str]] | None:
    """Return table name and tags of a series without escapes, or None when it takes the grammar.

    Args:
        text: what `series_text` returns; not longer than one string may be.
    """
    if not text.isprintable() or "\\" in text or len(text) > _SURELY_SHORT:
        return None
    measurement, *pairs = text.split(",")
    tags: dict[str, str] = {}
    for pair in pairs:
        key, _, value = pair.partition("=")
        if not key or not value:
            return None
        tags[key] = value
    return (measurement, tags) if measurement else None


def read_series(body: str, start: int, end: int) -> tuple[str, dict[str, str]]:
    """Return table name and tags of a line; of a repeated tag the last value.

    Raises:
        Malformed: including a series that no space follows.
    """
    found = _MEASUREMENT.match(body, start, end)
    if found is None:
        raise Malformed("Invalid measurement was provided")
    measurement = _name(found[0], unescape_measurement)
    position = found.end()
    tags: dict[str, str] = {}
    if body.startswith(",", position, end):
        position = _read_tags(body, position + 1, end, tags)
    if position == end:
        raise Malformed("No fields were provided")
    if not body.startswith(" ", position, end):
        got = _excerpt(body, position, end)
        raise Malformed(f"Expected at least one space character, got {got}")
    return measurement, tags


def read_fields(body: str, start: int, end: int) -> Fields:
    """Return the field set that stands after spaces at `start`."""
    spaces = _SPACES.match(body, start, end)
    position = spaces.end() if spaces else start
    fields: list[tuple[str, int, str]] = []
    while True:
        found = _FIELD.match(body, position, end)
        if found is None:
            raise Malformed(_broken_field(body, position, end, len(fields)))
        fields.append(_read_field(found))
        position = found.end()
        if not body.startswith(",", position, end):
            names, types, texts = zip(*fields, strict=True)
            return Fields(names, types, texts, position)
        position += 1


def read_time(body: str, start: int, end: int) -> int | None:
    """Return the timestamp that ends the line, in the unit of the request, or None.

    Raises:
        Malformed: not 64 bits, or something follows that does not belong there.
    """
    timestamp = None
    position = start
    found = _TIME.match(body, start, end)
    if found is not None:
        position = found.end()
        timestamp = _whole(found[1], -(2**63), 2**63 - 1)
        if timestamp is None:
            raise Malformed(f"Unable to parse timestamp value `{found[1]}`")
    if position != end:
        raise Malformed(_trailing(body, position, end))
    return timestamp


def _read_tags(body: str, start: int, end: int, tags: dict[str, str]) -> int:
    position = start
    while True:
        key = _KEY.match(body, position, end)
        if key is None:
            got = _excerpt(body, position, end)
            raise Malformed(f"Tag set malformed: Expected tag key, got {got}")
        name = _name(key[0], unescape_key)
        if not body.startswith("=", key.end(), end):
            tag_set = _excerpt(body, start, end)
            raise Malformed(f"Tag set malformed: could not find equals sign in {tag_set}")
        value = _TAG_VALUE.match(body, key.end() + 1, end)
        if value is None:
            got = _excerpt(body, key.end() + 1, end)
            raise Malformed(f"Tag set malformed: Expected tag value, got {got}")
        tags[name] = _name(value[0], unescape_key)
        if not body.startswith(",", value.end(), end):
            return value.end()
        position = value.end() + 1


def _read_field(found: re.Match[str]) -> tuple[str, int, str]:
    name = _name(found[1], unescape_key)
    group = found.lastindex or 0
    text = found[group]
    if group == _STRING:
        text = _checked_size(unescape_string(text))
    elif group in _WHOLE and len(text) > _SURELY_64_BITS:
        kind, low, high = _WHOLE[group]
        value = _whole(text, low, high)
        if value is None:
            raise Malformed(f"Unable to parse {kind} value `{text}`")
        text = str(value)
    return name, group, text


def _broken_field(body: str, start: int, end: int, count: int) -> str:
    """Say what is wrong where a field should start after `count` good ones."""
    key = _KEY.match(body, start, end)
    if key is not None:
        _name(key[0], unescape_key)  # a bad name is told before a bad value
    if count == 0:
        return "No fields were provided"
    # After the first field its comma is not part of what is left over, as in InfluxDB 3 Core; but
    # a bare comma has to show.
    is_bare = start == end or body.startswith(" ", start, end)
    return _trailing(body, start if count == 1 and not is_bare else start - 1, end)


def _whole(text: str, low: int, high: int) -> int | None:
    """Return a whole number, or None when it is out of bounds."""
    max_digits = 20
    if len(text) > max_digits:
        # `int` refuses thousands of digits, even when nearly all are leading zeros.
        sign = "-" if text.startswith("-") else ""
        text = sign + (text.lstrip("-").lstrip("0")[: max_digits + 1] or "0")
    value = int(text)
    return value if low <= value <= high else None


def _name(text: str, unescape: Callable[[str], str]) -> str:
    if "\\" in text:
        text = unescape(text)
        if text.endswith("\\"):
            raise Malformed(_BACKSLASH_AT_END)
    return text if len(text) <= _SURELY_SHORT else _checked_size(text)


def _checked_size(text: str) -> str:
    if len(text) > _SURELY_SHORT and len(text.encode()) > _MAX_STRING_BYTES:
        raise Malformed("String is greater than 1MB")
    return text


def _trailing(body: str, start: int, end: int) -> str:
    rest = _excerpt(body, start, end)
    return f"Could not parse entire line. Found trailing content: {rest}"


def _excerpt(body: str, start: int, end: int) -> str:
    """Return the first ten characters of what is left, marked when more than ten bytes are."""
    max_length = 10
    if start == end:
        return "end of input"
    text = body[start : min(end, start + max_length + 1)]
    if len(text.encode()) > max_length:
        text = f"{text[:max_length]}..."
    return f"`{text}`"
