"""Cutting line protocol into request bodies, at the ends of lines only.

A newline inside a quoted string field does not end a line. A quote opens a string only after the
first space that is not escaped; in measurements and tags it stands for itself. Pure functions.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

__all__ = ["Chunk", "chunked", "logical_lines"]

_KEYS = re.compile(rb"(?:[^\\ ]|\\.|\\$)*", re.DOTALL)
_QUOTE = re.compile(rb'\\.|(")', re.DOTALL)


@dataclass(frozen=True, slots=True)
class Chunk:
    """One request body.

    Args:
        body: whole lines.
        lines: how many, a line with a newline inside it counting once.
        first_line: 1-based number of the physical line at which the body starts.
    """

    body: bytes
    lines: int
    first_line: int


def chunked(physical: Iterable[bytes], max_bytes: int) -> Iterator[Chunk]:
    """Gather lines into chunks of at most a size; a longer line is a chunk of its own."""
    held: list[bytes] = []
    size, first, at = 0, 1, 1
    for line in logical_lines(physical, max_bytes):
        if held and size + len(line) > max_bytes:
            yield Chunk(b"".join(held), len(held), first)
            held, size, first = [], 0, at
        held.append(line)
        size += len(line)
        at += line.count(b"\n")
    if held:
        yield Chunk(b"".join(held), len(held), first)


def logical_lines(physical: Iterable[bytes], max_bytes: int) -> Iterator[bytes]:
    """Join lines that a quoted string holds together.

    Past the given size a string counts as never closed: the server says so better than we can.
    """
    held: list[bytes] = []
    size = 0
    for line in physical:
        is_open = _is_string_open(line, continued=bool(held))
        held.append(line)
        size += len(line)
        if is_open and size <= max_bytes:
            continue
        yield b"".join(held)
        held, size = [], 0
    if held:
        yield b"".join(held)


def _is_string_open(line: bytes, *, continued: bool) -> bool:
    """Whether a string is open at the end of a line that starts inside one, or does not."""
    if b'"' not in line:
        return continued
    start = 0
    if not continued:
        if line.lstrip().startswith(b"#"):
            return False
        keys = _KEYS.match(line, len(line) - len(line.lstrip()))
        start = keys.end() if keys is not None else 0
    quotes = sum(1 for found in _QUOTE.finditer(line, start) if found[1])
    return (quotes % 2 == 1) != continued
