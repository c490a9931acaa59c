"""The rows of one table as they were written, in one growing row space.

Rows are numbered from 0 in order of arrival and kept as chunks. Small chunks are joined when 32 of
them stand at the end, first into hundreds of rows, then thousands, up to about 64k: each row is
copied at most three times, and a table has a few hundred chunks however small its writes are.
The first rows may be let go; the numbers of the rows that are left stay as they are. Rows that
somebody is about to let go are sealed: they are not joined with later ones any more.

Chunks are values; a `RowSpace` is not locked: its owner guards it, takes a tuple of the chunks
under its lock, and slices and joins them without.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile

import pyarrow as pa

from engine.storage.union import joined

__all__ = ["Chunk", "RowSpace", "merged_chunk", "rows_between"]

_FAN_IN = 32
_CHUNK_ROWS = 65_536
_CHUNK_BYTES = 64 * 2**20  # strings may be large; an Arrow array of them ends at 2 GiB
_LEVELS = (32, 1024, _CHUNK_ROWS // 2)  # a chunk is of a level when it has fewer rows than this

# Measured: what an Arrow array takes beside its values, and an entry's place in the index.
_ARRAY_BYTES = 800
_ENTRY_BYTES = 24


@dataclass(frozen=True, slots=True)
class Chunk:
    """Consecutive rows: their first row number, the rows, and their Arrow bytes."""

    start: int
    rows: pa.RecordBatch
    size_bytes: int

    @property
    def end(self) -> int:
        """The number of the row after the last."""
        return self.start + int(self.rows.num_rows)

    @property
    def is_full(self) -> bool:
        """Whether it is too large to be joined with others."""
        return self.rows.num_rows >= _LEVELS[-1] or self.size_bytes >= _CHUNK_BYTES

    @property
    def memory_bytes(self) -> int:
        """Roughly what it takes; of a chunk of one row that is far more than its values."""
        return self.size_bytes + _ARRAY_BYTES * int(self.rows.num_columns)


class RowSpace:
    """The chunks of one table; guarded by its owner.

    `start` is the number of the first row that is kept, `memory_bytes` roughly what the chunks
    take, with a share for the entry of each `append`.
    """

    def __init__(self) -> None:
        self._chunks: list[Chunk] = []
        self._sealed = 0
        self.start = 0
        self.memory_bytes = 0

    @property
    def end(self) -> int:
        """The number that the next row will get."""
        return self._chunks[-1].end if self._chunks else self.start

    @property
    def chunks(self) -> tuple[Chunk, ...]:
        """All chunks in order."""
        return tuple(self._chunks)

    def append(self, rows: pa.RecordBatch) -> None:
        """Add rows at the end."""
        chunk = Chunk(self.end, rows, int(rows.nbytes))
        self._chunks.append(chunk)
        self.memory_bytes += chunk.memory_bytes + _ENTRY_BYTES

    def seal(self, row: int) -> None:
        """Join no rows before a row with rows from it on."""
        self._sealed = max(self._sealed, row)

    def mergeable(self) -> tuple[Chunk, ...]:
        """Return the chunks at the end that are due to be joined, or none."""
        chunks = self._chunks  # others put a new list here, and only the caller changes this one
        sealed = self._sealed
        for level in _LEVELS:
            tail = _tail_below(chunks, level, sealed)
            if len(tail) >= _FAN_IN or (len(tail) > 1 and _is_enough(tail)):
                return tail
        return ()

    def replace_tail(self, old: Sequence[Chunk], new: Chunk) -> None:
        """Put one chunk in the place of the last ones, which hold the same rows.

        Nothing happens when rows of theirs have been sealed or let go meanwhile.
        """
        if new.start < self._sealed < new.end or self._chunks[-len(old) :] != list(old):
            return
        del self._chunks[-len(old) :]
        self._chunks.append(new)
        self.memory_bytes += new.memory_bytes - sum(chunk.memory_bytes for chunk in old)

    def drop_before(self, row: int, entries: int) -> None:
        """Let the rows before a row go, and the shares of the entries that wrote them."""
        kept = [chunk for chunk in self._chunks if chunk.end > row]
        if kept and kept[0].start < row:
            kept[0] = _cut(kept[0], row)
        before = sum(chunk.memory_bytes for chunk in self._chunks)
        after = sum(chunk.memory_bytes for chunk in kept)
        self._chunks = kept
        self.start = max(self.start, row)
        shrunk = self.memory_bytes - (before - after) - entries * _ENTRY_BYTES
        self.memory_bytes = shrunk if kept else 0  # an entry may have had several blocks


def merged_chunk(chunks: Sequence[Chunk]) -> Chunk:
    """Join consecutive chunks; copies their rows."""
    rows = joined([chunk.rows for chunk in chunks])
    return Chunk(chunks[0].start, rows, int(rows.nbytes))


def rows_between(chunks: Sequence[Chunk], start: int, end: int) -> list[pa.RecordBatch]:
    """Return the rows [start, end) as slices of the chunks, without copying."""
    first = bisect_right(chunks, start, key=lambda chunk: chunk.end)
    wanted = takewhile(lambda chunk: chunk.start < end, chunks[first:])
    slices = []
    for chunk in wanted:
        low, high = max(start, chunk.start), min(end, chunk.end)
        slices.append(chunk.rows.slice(low - chunk.start, high - low))
    return slices


def _cut(chunk: Chunk, row: int) -> Chunk:
    """Copy the rows from a row on, so that those before it can be freed."""
    rows = chunk.rows.take(pa.array(range(row - chunk.start, chunk.rows.num_rows)))
    return Chunk(row, rows, int(rows.nbytes))


def _tail_below(chunks: Sequence[Chunk], level: int, sealed: int) -> tuple[Chunk, ...]:
    def is_below(chunk: Chunk) -> bool:
        return chunk.rows.num_rows < level and not chunk.is_full and chunk.start >= sealed

    return tuple(takewhile(is_below, reversed(chunks)))[::-1]


def _is_enough(tail: Sequence[Chunk]) -> bool:
    rows = sum(chunk.rows.num_rows for chunk in tail)
    return rows >= _CHUNK_ROWS or sum(chunk.size_bytes for chunk in tail) >= _CHUNK_BYTES
