"""A regular expression for lines whose fields look like those of an earlier line.

Most bodies repeat one field set thousands of times. A template matches what follows the series,
`name=value,name=value timestamp`, as a whole and yields the values as text, several times faster
than the grammar. It is stricter than the grammar and never looser: what it matches, the grammar
reads the same way; what it refuses goes to the grammar.

* Names hold no separator, quote or backslash, values no backslash, so a match is always one whole
  line: no newline in it can be escaped, and its quotes are balanced.
* Whole numbers and timestamps have at most as many digits as surely fit 64 bits.

Pure; any thread may call it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

from engine.lineprotocol.precision import Precision

__all__ = ["Matcher", "learn"]

# Gives the values as text, then the timestamp or None; None when the text is of another form.
Matcher = Callable[[str], "re.Match[str] | None"]

_MAX_FIELDS = 128  # the time to compile grows with the fields, and it is spent under the GIL
_MAX_NAMES_LENGTH = 8192
_MAX_TEMPLATES = 256

_PLAIN_NAME = re.compile(r'[^\\", =\t\n]+')
_VALUES = {  # by group number, as `grammar.FIELD_TYPES`
    2: r"(-?[0-9]{1,18})i",
    3: r"([0-9]{1,19})u",
    4: r"(-?[0-9]+(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?)",
    5: r'"([^"\\]{0,262144})"',  # four bytes a character at most: 1 MiB
    6: r"([tT]rue|TRUE|[tT]|[fF]alse|FALSE|[fF])",
}


def learn(names: tuple[str, ...], types: tuple[int, ...], precision: Precision) -> Matcher | None:
    """Return the matcher for these fields, or None when the grammar must read such lines."""
    if len(names) > _MAX_FIELDS or sum(map(len, names)) > _MAX_NAMES_LENGTH:
        return None
    if not all(map(_PLAIN_NAME.fullmatch, names)):
        return None
    return _compile(names, types, precision)


@lru_cache(_MAX_TEMPLATES)
def _compile(names: tuple[str, ...], types: tuple[int, ...], precision: Precision) -> Matcher:
    fields = ",".join(
        f"{re.escape(name)}={_VALUES[number]}" for name, number in zip(names, types, strict=True)
    )
    zeros = len(str(precision.unit_ns)) - 1
    time = f"-?[0-8]?[0-9]{{1,{18 - zeros}}}"
    return re.compile(f" *{fields}(?: +({time}) *)?").fullmatch
