"""Where lines of line protocol end, and where the point of a line starts.

A line ends at a newline that is neither escaped nor inside a quoted string. Quotes count only after
the first unescaped space, and only where more `=` than `,` have been seen since; this holds for
comments as well. Pure; any thread may call it.
"""

from __future__ import annotations

import re

__all__ = ["line_end", "point_start"]

_MARK = re.compile(r'\\.|[ =,"\n]', re.DOTALL)
_LEADING = re.compile(r"(?:[ \t\n]++|#[^\n]*+)*+")


def line_end(body: str, start: int) -> int:
    """Return the position of the newline that ends the line, or the end of the body."""
    newline = body.find("\n", start)
    newline = len(body) if newline < 0 else newline
    if body.find('"', start, newline) < 0 and body.find("\\", start, newline) < 0:
        return newline
    return _marked_line_end(body, start)


def point_start(body: str, start: int, end: int) -> int:
    """Return where the point starts after blanks and comments; `end` when there is none.

    A comment may hold an escaped newline; the point then starts on a later physical line.
    """
    found = _LEADING.match(body, start, end)
    return found.end() if found else start


def _marked_line_end(body: str, start: int) -> int:
    is_in_fields = is_quoted = False
    open_values = 0
    for found in _MARK.finditer(body, start):
        mark = found[0]
        if mark == '"':
            is_quoted ^= is_in_fields and open_values > 0
        elif is_quoted:
            continue
        elif mark == "\n":
            return found.start()
        elif mark == " ":
            is_in_fields = True
        elif is_in_fields and mark in "=,":
            open_values += 1 if mark == "=" else -1
    return len(body)
