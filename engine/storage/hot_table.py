"""One table's rows in memory, and how the oldest of them leave it.

Rows leave in two steps. `take` gives those that shall go into files and seals them; when they are
there for good, `drop_below` lets exactly these go. Rows that came in between stay.

A `HotTable` is not locked: the buffer guards it. Its view guards itself.
"""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from engine.storage.entry_index import EntryIndex
from engine.storage.row_space import RowSpace
from engine.storage.view import MergedView

__all__ = ["HotTable", "TableLoad", "Taken"]


@dataclass(frozen=True, slots=True)
class Taken:
    """The oldest rows of a table.

    Args:
        rows: batches as written, in order of arrival; columns as each write gave them.
        end: sequence below which these are all rows of the table.
    """

    rows: tuple[pa.RecordBatch, ...]
    end: int


@dataclass(frozen=True, slots=True)
class TableLoad:
    """What a table has in memory.

    Args:
        table_id: catalog id.
        bytes: roughly the memory that its rows as written take.
        rows: number of them, at least one.
        oldest_s: when the oldest of them came, on the buffer's monotonic clock.
    """

    table_id: int
    bytes: int
    rows: int
    oldest_s: float


class HotTable:
    """The rows of one table from `start` on; see the module for locks.

    `start` is the sequence below which its rows are not here any more.
    """

    def __init__(self, table_id: int, database_id: int, start: int = 0) -> None:
        self.id = table_id
        self.database_id = database_id
        self.start = start
        self.rows = RowSpace()
        self.entries = EntryIndex()
        self.view = MergedView()
        self._oldest_s = 0.0
        self._taken_s = 0.0

    @property
    def count(self) -> int:
        """The number of rows as written."""
        return self.rows.end - self.rows.start

    def add(self, sequence: int, ordinal: int, rows: pa.RecordBatch, now_s: float) -> int:
        """Add rows of an entry; return by how many bytes the table has grown."""
        if not self.count:
            self._oldest_s = now_s
        self.entries.add(sequence, self.rows.end, ordinal)
        before = self.rows.memory_bytes
        self.rows.append(rows)
        return self.rows.memory_bytes - before

    def take(self, max_bytes: int, now_s: float) -> Taken:
        """Give the oldest rows, of whole entries, up to a size; all of the first chunk at least."""
        cut, size, batches = self.rows.start, 0, []
        for chunk in self.rows.chunks:
            cut, size = chunk.end, size + chunk.memory_bytes
            batches.append(chunk.rows)
            if size >= max_bytes and self.entries.is_start(cut):
                break
        else:
            self._taken_s = now_s
        self.rows.seal(cut)
        end = self.entries.end_before(cut) if batches else self.start
        return Taken(tuple(batches), end)

    def drop_below(self, end: int) -> int:
        """Let the rows of the entries below a sequence go; return how many bytes that frees."""
        row = self.entries.row_of(end, self.rows.end)
        entries = self.entries.drop_before(end)
        before = self.rows.memory_bytes
        self.rows.drop_before(row, entries)
        self.view = MergedView()  # points are not told apart by when they were written
        self.start = max(self.start, end)
        self._oldest_s = max(self._oldest_s, self._taken_s)
        return before - self.rows.memory_bytes

    def load(self) -> TableLoad:
        """Tell what is here."""
        return TableLoad(self.id, self.rows.memory_bytes, self.count, self._oldest_s)
