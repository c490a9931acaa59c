"""The hot buffer: all rows that the log has made durable and that are not in files yet.

It keeps rows twice, on purpose: as they were written, in order of arrival, which is what events
read; and merged into unique points in order of time, which is what queries read. The second is
built when somebody asks for it, and shares memory with the first where nothing had to be merged.
A table may have a bound: then its oldest chunks are let go as new rows come.

Threads: `bind` before the first entry, `append` is called by one thread, the rest by any. `_lock`
guards the tables, their chunks and indexes, the causes, `_bytes` and `_end`; it is held to look up
and to link, never while rows are copied. What a reader takes under it are values. (`_bytes` is read
without it, and so are the causes of an entry, which never change once they are there.) Chunks are
joined and let go by the appending thread, which looks at them outside of the lock: nobody else
changes them. Each table's `MergedView` has a lock of its own, which is never taken together with
`_lock`.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa

from engine.model.entry import CheckpointEntry, Entry
from engine.model.schema import TableSchema
from engine.storage.bounds import Bound, surplus_chunks
from engine.storage.entry_index import EntryIndex, EntryRows, end_of_slice
from engine.storage.row_space import Chunk, RowSpace, merged_chunk, rows_between
from engine.storage.union import joined, without_empty_columns
from engine.storage.view import MergedView

__all__ = ["HotBuffer", "Slice"]


@dataclass(frozen=True, slots=True)
class Slice:
    """Rows of some tables in the log entries from the position asked for up to `end`.

    Args:
        end: sequence after the last entry covered.
        tables: catalog id and rows in order of arrival, in order of first write; only columns
            that have a value, tags first, then fields, `time` last. Empty when nothing matches.
        causes: the shortest cause chain among the entries with such rows.
    """

    end: int
    tables: tuple[tuple[int, pa.RecordBatch], ...]
    causes: tuple[int, ...]


class _Table:
    """One table's rows; a view guards itself, the rest is guarded by the buffer's lock."""

    def __init__(self, table_id: int, database_id: int) -> None:
        self.id = table_id
        self.database_id = database_id
        self.rows = RowSpace()
        self.entries = EntryIndex()
        self.view = MergedView()


@dataclass(frozen=True, slots=True)
class _Found:
    """What a reader takes out of one table under the lock."""

    table_id: int
    entries: EntryRows
    chunks: tuple[Chunk, ...]


class HotBuffer:
    """Recent rows of all tables in memory; see the module for threads and locks."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tables: dict[int, _Table] = {}
        self._bounds: dict[int, Bound] = {}
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
            return table.rows.end - table.rows.start if table else 0

    def bind(self, table_id: int, bound: Bound) -> None:
        """Keep no more of a table than a bound says."""
        self._bounds[table_id] = bound

    def append(self, first_sequence: int, entries: Sequence[Entry]) -> None:
        """Add entries that are durable; all become visible at once.

        Args:
            first_sequence: of the first entry, at least `end`.
            entries: in the order of the log; those without rows only move `end`.

        Raises:
            ValueError: the sequence lies below `end`.
        """
        touched: dict[int, _Table] = {}
        with self._lock:
            if first_sequence < self._end:
                raise ValueError(f"entry {first_sequence} comes after entry {self._end - 1}")
            for sequence, entry in enumerate(entries, first_sequence):
                touched.update(self._add(sequence, entry))
            self._end = first_sequence + len(entries)
        for table in touched.values():
            self._join_chunks(table)
            if table.id in self._bounds:
                self._let_go(table, self._bounds[table.id])

    def snapshot(self, table_id: int, schema: TableSchema) -> tuple[pa.RecordBatch, ...]:
        """Return the unique points of a table.

        Args:
            table_id: catalog id; an unknown one has no rows.
            schema: columns that it does not name are left out, those without values are null.

        Returns:
            Batches that are disjoint and ordered in time, as `schema.arrow`; the same object until
            rows come or the schema grows.
        """
        with self._lock:
            table = self._tables.get(table_id)
            if table is None:
                return ()
            view, chunks, end = table.view, table.rows.chunks, table.rows.end
        return view.batches(chunks, end, schema)

    def read(
        self,
        position: int,
        database_id: int,
        table_ids: frozenset[int] | None,
        max_rows: int,
        max_bytes: int,
        until: int | None = None,
    ) -> Slice:
        """Return the rows that the entries from a position on wrote to some tables.

        Args:
            position: first sequence wanted.
            database_id: whose tables.
            table_ids: which of them; None for all.
            max_rows: of all tables together; a single entry may have more.
            max_bytes: likewise, in Arrow bytes.
            until: sequence before which the slice ends at the latest; None for the newest entry.
        """
        with self._lock:
            end = self._end if until is None else min(self._end, until)
            found = list(self._find(position, database_id, table_ids, max_rows))
        if not found:
            return Slice(end, (), ())
        cut = end_of_slice([(f.entries, f.chunks) for f in found], max_rows, max_bytes)
        if cut is not None:
            end = min(end, cut)
        inside = [_Found(f.table_id, f.entries.before(end), f.chunks) for f in found]
        inside = [f for f in inside if len(f.entries.sequences)]
        inside.sort(key=lambda f: (f.entries.sequences[0], f.entries.ordinal))
        return Slice(end, tuple((f.table_id, _rows(f)) for f in inside), self._shortest(inside))

    def drop_table(self, table_id: int) -> None:
        """Forget a table's rows."""
        with self._lock:
            table = self._tables.pop(table_id, None)
            self._bytes -= table.rows.memory_bytes if table else 0

    def _add(self, sequence: int, entry: Entry) -> Iterator[tuple[int, _Table]]:
        if isinstance(entry, CheckpointEntry):
            return
        if entry.causes and entry.tables:
            self._causes[sequence] = entry.causes
        for ordinal, part in enumerate(entry.tables):
            if part.rows.num_rows == 0:
                continue
            table = self._tables.get(part.table_id)
            if table is None:
                table = _Table(part.table_id, part.database_id)
                self._tables[part.table_id] = table
            table.entries.add(sequence, table.rows.end, ordinal)
            before = table.rows.memory_bytes
            table.rows.append(part.rows)
            self._bytes += table.rows.memory_bytes - before
            yield part.table_id, table

    def _join_chunks(self, table: _Table) -> None:
        while due := table.rows.mergeable():
            chunk = merged_chunk(due)
            with self._lock:
                before = table.rows.memory_bytes
                table.rows.replace_tail(due, chunk)
                if table.id in self._tables:  # not dropped meanwhile
                    self._bytes += table.rows.memory_bytes - before

    def _let_go(self, table: _Table, bound: Bound) -> None:
        chunks = table.rows.chunks
        count = surplus_chunks(chunks, bound)
        if not count:
            return
        with self._lock:
            before = table.rows.memory_bytes
            entries = table.entries.drop_before(chunks[count - 1].end, table.rows.end)
            table.rows.drop_head(count, entries)
            table.view = MergedView()  # points are not told apart by when they were written
            if table.id in self._tables:
                self._bytes += table.rows.memory_bytes - before

    def _find(
        self, position: int, database_id: int, table_ids: frozenset[int] | None, max_rows: int
    ) -> Iterator[_Found]:
        """Look up what a reader needs; called under the lock."""
        for table in self._tables.values():
            if table.database_id != database_id:
                continue
            if table_ids is not None and table.id not in table_ids:
                continue
            # Every entry has a row, so one entry more than rows are wanted shows where to cut.
            entries = table.entries.entries_from(position, table.rows.end, max_rows + 1)
            if entries is not None:
                yield _Found(table.id, entries, table.rows.chunks)

    def _shortest(self, found: Sequence[_Found]) -> tuple[int, ...]:
        shortest: tuple[int, ...] | None = None
        for part in found:
            for sequence in part.entries.sequences.tolist():
                causes = self._causes.get(sequence, ())
                if not causes:
                    return ()
                if shortest is None or len(causes) < len(shortest):
                    shortest = causes
        return shortest or ()


def _rows(found: _Found) -> pa.RecordBatch:
    bounds = found.entries.bounds
    slices = rows_between(found.chunks, int(bounds[0]), int(bounds[-1]))
    return without_empty_columns(joined(slices))
