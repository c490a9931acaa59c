"""Which log entry wrote which rows of a table, and where a slice of the log may end.

One index per table holds three numbers per entry that wrote to it: the entry's sequence, the number
of its first row, and the place of the table among those that the entry names. A slice of the log is
cut between entries, never inside one, so an entry that is larger than the limit comes alone.

An `EntryIndex` is not locked: its owner guards it. `EntryRows` is a copy and belongs to the reader.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine.storage.row_space import Chunk

__all__ = ["EntryIndex", "EntryRows", "end_of_slice"]

_Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class EntryRows:
    """A run of entries that wrote to one table.

    Args:
        sequences: of the entries, ascending.
        bounds: first row of each entry, then the row after the last; one longer than `sequences`.
        ordinal: the table's place in the first of the entries.
    """

    sequences: _Integers
    bounds: _Integers
    ordinal: int

    def before(self, sequence: int) -> EntryRows:
        """Keep the entries below a sequence."""
        count = int(np.searchsorted(self.sequences, sequence))
        return EntryRows(self.sequences[:count], self.bounds[: count + 1], self.ordinal)


class EntryIndex:
    """The entries of one table; guarded by its owner."""

    def __init__(self) -> None:
        self._sequences = array("q")
        self._starts = array("q")
        self._ordinals = array("q")

    def add(self, sequence: int, start: int, ordinal: int) -> None:
        """Note that an entry's rows begin at a row; a second block of one entry joins its first."""
        if self._sequences and self._sequences[-1] == sequence:
            return
        self._sequences.append(sequence)
        self._starts.append(start)
        self._ordinals.append(ordinal)

    def first_from(self, sequence: int) -> int | None:
        """Return the lowest sequence of an entry at or above a sequence, or None."""
        place = bisect_left(self._sequences, sequence)
        return self._sequences[place] if place < len(self._sequences) else None

    def is_start(self, row: int) -> bool:
        """Whether an entry begins at a row."""
        place = bisect_left(self._starts, row)
        return place < len(self._starts) and self._starts[place] == row

    def end_before(self, row: int) -> int:
        """Return the sequence after the last entry that begins before a row; there must be one."""
        return self._sequences[bisect_left(self._starts, row) - 1] + 1

    def row_of(self, sequence: int, end_row: int) -> int:
        """Return the first row of the entries at or above a sequence, or `end_row`."""
        place = bisect_left(self._sequences, sequence)
        return self._starts[place] if place < len(self._starts) else end_row

    def drop_before(self, sequence: int) -> int:
        """Forget the entries below a sequence; return how many there were."""
        count = bisect_left(self._sequences, sequence)
        del self._sequences[:count], self._starts[:count], self._ordinals[:count]
        return count

    def entries_from(self, position: int, end_row: int, max_entries: int) -> EntryRows | None:
        """Copy the first entries at or above a position.

        Args:
            position: lowest sequence wanted.
            end_row: the row after the table's last.
            max_entries: how many at most.
        """
        first = bisect_left(self._sequences, position)
        last = min(len(self._sequences), first + max_entries)
        if first == last:
            return None
        bounds = self._starts[first : last + 1]
        if last == len(self._sequences):
            bounds.append(end_row)
        sequences = np.array(self._sequences[first:last], dtype=np.int64)
        return EntryRows(sequences, np.array(bounds, dtype=np.int64), self._ordinals[first])


def end_of_slice(
    tables: Sequence[tuple[EntryRows, Sequence[Chunk]]], max_rows: int, max_bytes: int
) -> int | None:
    """Return the sequence before which a slice must end, or None when everything fits.

    Bytes are shares of the chunks' bytes, so they are exact only for whole chunks.
    """
    sequences = np.concatenate([entries.sequences for entries, _ in tables])
    rows = np.concatenate([np.diff(entries.bounds) for entries, _ in tables])
    sizes = np.concatenate([np.diff(_bytes_before(entries, chunks)) for entries, chunks in tables])
    distinct, place = np.unique(sequences, return_inverse=True)
    rows_up_to = np.cumsum(np.bincount(place, rows))
    bytes_up_to = np.cumsum(np.bincount(place, sizes))
    too_much = np.flatnonzero((rows_up_to > max_rows) | (bytes_up_to > max_bytes))
    if len(too_much) == 0:
        return None
    cut = max(int(too_much[0]), 1)  # at least one entry, however large
    return int(distinct[cut]) if cut < len(distinct) else None


def _bytes_before(entries: EntryRows, chunks: Sequence[Chunk]) -> npt.NDArray[np.float64]:
    rows = np.array([chunks[0].start, *(chunk.end for chunk in chunks)])
    sizes = np.cumsum([0, *(chunk.size_bytes for chunk in chunks)])
    return np.asarray(np.interp(entries.bounds, rows, sizes), dtype=np.float64)
