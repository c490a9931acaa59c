"""The hot buffer: all rows that the log has made durable and that are not in files yet.

It keeps rows twice, on purpose: as they were written, in order of arrival, which is what events
read; and merged into unique points in order of time, which is what queries read. The second is
built when somebody asks for it, and shares memory with the first where nothing had to be merged.

Each table has a start, the sequence below which its rows are in files and not here any more. Who
reads from below it has to read the log.

Threads: `append` is called by one thread, `take` and `drop_persisted` by one other, the rest by
any. `_lock` guards the tables with their chunks and indexes, the starts of databases, the causes,
`_bytes` and `_end`; it is held to look up and to link, hardly ever while rows are copied. What a
reader takes under it are values. (`_bytes` is read without it.) Chunks are joined by the appending
thread outside of the lock, and put in their place under it if they are still what they were. Each
table's `MergedView` has a lock of its own, which is never taken together with `_lock`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import pyarrow as pa

from engine.model.entry import CheckpointEntry, Entry
from engine.model.schema import TableSchema
from engine.storage.entry_index import end_of_slice
from engine.storage.hot_table import HotTable, TableLoad, Taken
from engine.storage.row_space import merged_chunk
from engine.storage.slices import FoundRows, Slice, joined_rows, shortest_causes

__all__ = ["Buffered", "HotBuffer", "Slice", "TableLoad", "Taken"]

_NO_LIMIT = 2**63


@dataclass(frozen=True, slots=True)
class Buffered:
    """The rows of a table that are in memory.

    Args:
        start: sequence below which its rows are in files.
        batches: unique points, disjoint and ordered in time.
    """

    start: int
    batches: tuple[pa.RecordBatch, ...]


class HotBuffer:
    """Recent rows of all tables in memory; see the module for threads and locks."""

    def __init__(self, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._monotonic_s = monotonic_s
        self._lock = threading.Lock()
        self._tables: dict[int, HotTable] = {}
        self._starts: dict[int, int] = {}  # by database, the highest of its tables, gone or not
        self._causes: dict[int, tuple[int, ...]] = {}
        self._bytes = 0
        self._end = 1

    def __repr__(self) -> str:
        """Describe the buffer in a sentence."""
        return f"<HotBuffer: {len(self._tables)} tables, {self.bytes} bytes, end {self._end}>"

    @property
    def end(self) -> int:
        """The sequence after the last entry."""
        with self._lock:
            return self._end

    @property
    def bytes(self) -> int:
        """Roughly the memory that the rows as written take; every write asks, so it is kept."""
        return self._bytes

    def rows_of(self, table_id: int) -> int:
        """Return the number of rows as written that are kept, duplicates included."""
        with self._lock:
            table = self._tables.get(table_id)
            return table.count if table else 0

    def tables(self) -> tuple[TableLoad, ...]:
        """Return what the tables have in memory; those without rows are left out."""
        with self._lock:
            return tuple(table.load() for table in self._tables.values() if table.count)

    def first_sequence(self, without: Mapping[int, int] = MappingProxyType({})) -> int:
        """Return the lowest sequence of which a row is here, or `end`.

        Args:
            without: by table, the sequence below which its rows do not count.
        """
        with self._lock:
            tables = self._tables.values()
            firsts = (table.entries.first_from(without.get(table.id, 0)) for table in tables)
            return min((first for first in firsts if first is not None), default=self._end)

    def start_at(self, database_id: int, table_id: int, start: int) -> None:
        """Say that a table's rows below a sequence are in files; such rows will be passed over."""
        with self._lock:
            table = self._tables.setdefault(table_id, HotTable(table_id, database_id))
            table.start = max(table.start, start)
            self._starts[database_id] = max(self._starts.get(database_id, 0), start)

    def append(self, first_sequence: int, entries: Sequence[Entry]) -> None:
        """Add entries that are durable; all become visible at once.

        Args:
            first_sequence: of the first entry, at least `end`.
            entries: in the order of the log; those without rows only move `end`, and so do rows
                from below the start of their table.

        Raises:
            ValueError: the sequence lies below `end`.
        """
        touched: dict[int, HotTable] = {}
        now_s = self._monotonic_s()
        with self._lock:
            if first_sequence < self._end:
                raise ValueError(f"entry {first_sequence} comes after entry {self._end - 1}")
            for sequence, entry in enumerate(entries, first_sequence):
                touched.update(self._add(sequence, entry, now_s))
            self._end = first_sequence + len(entries)
        for table in touched.values():
            self._join_chunks(table)

    def snapshot(self, table_id: int, schema: TableSchema) -> Buffered:
        """Return the unique points of a table.

        Args:
            table_id: catalog id; an unknown one has no rows.
            schema: columns that it does not name are left out, those without values are null.

        Returns:
            Batches as `schema.arrow`; the same tuple until rows come or go or the schema grows.
        """
        with self._lock:
            table = self._tables.get(table_id)
            if table is None:
                return Buffered(0, ())
            view, chunks, end, start = table.view, table.rows.chunks, table.rows.end, table.start
        return Buffered(start, view.batches(chunks, end, schema))

    def read(
        self,
        position: int,
        database_id: int,
        table_ids: frozenset[int] | None,
        max_rows: int,
        max_bytes: int,
        until: int | None = None,
    ) -> Slice | None:
        """Return the rows that the entries from a position on wrote to some tables.

        Args:
            position: first sequence wanted.
            database_id: whose tables.
            table_ids: which of them; None for all.
            max_rows: of all tables together; a single entry may have more.
            max_bytes: likewise, in Arrow bytes.
            until: sequence before which the slice ends at the latest; None for the newest entry.

        Returns:
            None when rows of such a table from the position on may be in files already; then only
            the log has them in the order of their arrival.
        """
        with self._lock:
            if position < self._start_of(database_id, table_ids):
                return None
            causes = self._causes
            end = self._end if until is None else min(self._end, until)
            found = list(self._find(position, database_id, table_ids, max_rows))
        if not found:
            return Slice(end, (), ())
        cut = end_of_slice([(f.entries, f.chunks) for f in found], max_rows, max_bytes)
        if cut is not None:
            end = min(end, cut)
        inside = [FoundRows(f.table_id, f.entries.before(end), f.chunks) for f in found]
        inside = [f for f in inside if len(f.entries.sequences)]
        inside.sort(key=lambda f: (f.entries.sequences[0], f.entries.ordinal))
        return Slice(
            end,
            tuple((f.table_id, joined_rows(f)) for f in inside),
            shortest_causes(inside, causes),
        )

    def take(self, table_id: int, max_bytes: int = _NO_LIMIT) -> Taken | None:
        """Give the oldest rows of a table to be put into files; they stay here until dropped.

        Args:
            table_id: catalog id.
            max_bytes: of memory; roughly, and one chunk of rows at least.

        Returns:
            None when the table has no rows here.
        """
        with self._lock:
            table = self._tables.get(table_id)
            if table is None or not table.count:
                return None
            return table.take(max_bytes, self._monotonic_s())

    def drop_persisted(self, table_id: int, end: int) -> None:
        """Let the rows go that entries below a sequence wrote to a table: they are in files."""
        with self._lock:
            table = self._tables.get(table_id)
            if table is None:
                return
            self._bytes -= table.drop_below(end)
            known = self._starts.get(table.database_id, 0)
            self._starts[table.database_id] = max(known, table.start)
            self._forget_causes()

    def drop_table(self, table_id: int) -> None:
        """Forget a table's rows."""
        with self._lock:
            table = self._tables.pop(table_id, None)
            self._bytes -= table.rows.memory_bytes if table else 0

    def _add(self, sequence: int, entry: Entry, now_s: float) -> Iterator[tuple[int, HotTable]]:
        if isinstance(entry, CheckpointEntry):
            return
        if entry.causes and entry.tables:
            self._causes[sequence] = entry.causes
        for ordinal, part in enumerate(entry.tables):
            table = self._tables.get(part.table_id)
            if table is None:
                table = HotTable(part.table_id, part.database_id)
                self._tables[part.table_id] = table
            if part.rows.num_rows and sequence >= table.start:
                self._bytes += table.add(sequence, ordinal, part.rows, now_s)
                yield part.table_id, table

    def _forget_causes(self) -> None:
        """Forget the causes of entries of which no row is here any more."""
        tables = self._tables.values()
        firsts = (table.entries.first_from(0) for table in tables)
        first = min((first for first in firsts if first is not None), default=self._end)
        if self._causes and next(iter(self._causes)) < first:
            # A new mapping, because readers look into the old one without the lock.
            self._causes = {n: causes for n, causes in self._causes.items() if n >= first}

    def _start_of(self, database_id: int, table_ids: frozenset[int] | None) -> int:
        """Return the highest start of some tables of a database."""
        if table_ids is None:
            return self._starts.get(database_id, 0)
        wanted = (self._tables.get(table_id) for table_id in table_ids)
        return max((table.start for table in wanted if table is not None), default=0)

    def _join_chunks(self, table: HotTable) -> None:
        while due := table.rows.mergeable():
            chunk = merged_chunk(due)
            with self._lock:
                before = table.rows.memory_bytes
                table.rows.replace_tail(due, chunk)
                if table.id in self._tables:  # not dropped meanwhile
                    self._bytes += table.rows.memory_bytes - before

    def _find(
        self, position: int, database_id: int, table_ids: frozenset[int] | None, max_rows: int
    ) -> Iterator[FoundRows]:
        """Look up what a reader needs; called under the lock."""
        for table in self._tables.values():
            if table.database_id != database_id:
                continue
            if table_ids is not None and table.id not in table_ids:
                continue
            # Every entry has a row, so one entry more than rows are wanted shows where to cut.
            entries = table.entries.entries_from(position, table.rows.end, max_rows + 1)
            if entries is not None:
                yield FoundRows(table.id, entries, table.rows.chunks)
