"""What WAL triggers read: rows of the log from a position on, wherever they are now.

The newest rows are in the hot buffer. Rows that have gone into files are only in the log in the
order of their arrival, so a trigger that lags reads them there: as many records as one event may
hold and no more, so memory does not grow with the lag. Both ways give the same slices, because
the records are read through a hot buffer of their own.

Any thread may call; nothing is kept from one call to the next.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import pyarrow as pa

from engine.catalog.state import Catalog
from engine.errors import LogDropped
from engine.model.entry import CheckpointEntry, Entry, TableRows
from engine.storage.arrivals import Arrivals, Count
from engine.storage.buffer import HotBuffer, Slice

__all__ = ["Backlog", "Found", "recount"]

_MAX_RECORDS = 256  # without a row that is wanted; then the reader may look whether to stop
_UNLIMITED = 2**62


class LogRead(Protocol):
    """A record of the log; see `engine.wal.replay.Read`."""

    @property
    def first(self) -> int:
        """Sequence of its first entry."""
        ...

    @property
    def entries(self) -> Sequence[Entry]:
        """Its entries."""
        ...


class LogHead(Protocol):
    """A record without its rows; see `engine.wal.replay.Head`."""

    @property
    def first(self) -> int:
        """Sequence of its first entry."""
        ...

    @property
    def written_ns(self) -> int:
        """The wall clock when it was committed."""
        ...

    @property
    def entries(self) -> Sequence[tuple[Entry, Sequence[tuple[int, int, int]]]]:
        """Its entries, and database id, table id and rows of what each wrote."""
        ...


class LogFile(Protocol):
    """What reads the log; see `engine.wal.log.Log`."""

    def read(self, start: int) -> Iterator[LogRead]:
        """Read the records from a sequence on."""
        ...

    def heads(self, start: int) -> Iterator[LogHead]:
        """Read them without rows."""
        ...


@dataclass(frozen=True, slots=True)
class Found:
    """Rows of some tables in the log entries of [start, end).

    Args:
        start: the position asked for, or a later one when the entries between are not kept.
        end: sequence after the last entry covered.
        tables: catalog id and rows in order of arrival, in order of first write.
        causes: the shortest cause chain among the entries with such rows.
    """

    start: int
    end: int
    tables: tuple[tuple[int, pa.RecordBatch], ...]
    causes: tuple[int, ...]


class Backlog:
    """Reads the hot buffer, and the log where that has no more."""

    def __init__(
        self,
        buffer: HotBuffer,
        log: LogFile,
        catalog: Callable[[], Catalog],
        end: Callable[[], int],
    ) -> None:
        """Read from these.

        Args:
            buffer: the newest rows.
            log: all rows that some trigger may still want.
            catalog: returns the newest; tables that it does not know are passed over.
            end: returns the sequence behind the newest published entry; after a restart with all
                rows in files the buffer knows of none.
        """
        self._buffer = buffer
        self._log = log
        self._catalog = catalog
        self._end = end

    def read(
        self,
        position: int,
        database_id: int,
        table_ids: frozenset[int] | None,
        max_rows: int,
        max_bytes: int,
        until: int | None = None,
    ) -> Found:
        """Return the rows that the entries from a position on wrote to some tables.

        Args:
            position: first sequence wanted.
            database_id: whose tables.
            table_ids: which of them; None for all.
            max_rows: of all tables together; a single entry may have more.
            max_bytes: likewise, in Arrow bytes.
            until: sequence before which the answer ends at the latest.

        Raises:
            EngineFault: the log is damaged, or cannot be read.
        """
        limits = _Limits(max_rows, max_bytes, _MAX_RECORDS)
        return self._read(position, _Wanted(database_id, table_ids), limits, until)

    def read_exactly(
        self, start: int, end: int, database_id: int, table_ids: frozenset[int] | None
    ) -> Found:
        """Return all rows of the entries [start, end), however many they are; else as `read`."""
        limits = _Limits(_UNLIMITED, _UNLIMITED, None)
        return self._read(start, _Wanted(database_id, table_ids), limits, end)

    def count(
        self, start: int, end: int, database_id: int, table_ids: frozenset[int] | None
    ) -> Count:
        """Return how much the entries [start, end) that are kept wrote to some tables."""
        wanted = _Wanted(database_id, table_ids)
        events = rows = 0
        for sequence, _, tables in _entries(self._log, start):
            if sequence >= end:
                break
            counts = [
                count for database, table, count in tables if wanted.includes(database, table)
            ]
            events, rows = events + bool(counts), rows + sum(counts)
        return Count(events, rows)

    def _read(self, position: int, wanted: _Wanted, limits: _Limits, until: int | None) -> Found:
        end = self._end()  # before the buffer is asked: what is below has been published to it
        hot = self._buffer.read(
            position, wanted.database_id, wanted.table_ids, limits.rows, limits.bytes, until
        )
        end = end if until is None else min(end, until)
        if hot is not None and hot.end > position:
            return self._known(position, hot)
        if hot is not None:  # the buffer begins later, and has all rows of these tables
            return Found(position, max(position, end), (), ())
        scratch = _Scratch(wanted, limits)
        start = scratch.fill(self._log, position, end)
        return self._known(start, scratch.slice(start, end))

    def _known(self, start: int, found: Slice) -> Found:
        catalog = self._catalog()
        tables = tuple(table for table in found.tables if catalog.is_live(table[0]))
        return Found(start, found.end, tables, found.causes)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """Whose rows: of some tables of a database, or of all."""

    database_id: int
    table_ids: frozenset[int] | None

    def includes(self, database_id: int, table_id: int) -> bool:
        """Whether rows of a table are wanted."""
        is_listed = self.table_ids is None or table_id in self.table_ids
        return is_listed and database_id == self.database_id


@dataclass(frozen=True, slots=True)
class _Limits:
    """How much one reading takes: rows, their bytes, and records without any (None: all)."""

    rows: int
    bytes: int
    records: int | None


class _Scratch:
    """The records of the log that one event takes, in a buffer of their own."""

    def __init__(self, wanted: _Wanted, limits: _Limits) -> None:
        self._wanted = wanted
        self._limits = limits
        self._buffer = HotBuffer()
        self._rows = 0

    def fill(self, log: LogFile, position: int, end: int) -> int:
        """Take records until there is enough; return from where on they are kept."""
        start = position
        while position < end:
            try:
                self._take(log, position, end)
            except LogDropped as error:
                if self._rows and self._limits.records is not None:
                    return start  # what was read before will do
                start = position = error.first
            else:
                return start
        return end

    def slice(self, start: int, end: int) -> Slice:
        """Return what one event takes of it."""
        if self._buffer.end == 1:
            return Slice(max(start, end), (), ())
        rows, size = self._limits.rows, self._limits.bytes
        database_id, table_ids = self._wanted.database_id, self._wanted.table_ids
        found = self._buffer.read(min(start, end), database_id, table_ids, rows, size, end)
        if found is None:
            raise AssertionError("nothing leaves a scratch buffer")
        return found

    def _take(self, log: LogFile, position: int, end: int) -> None:
        for number, read in enumerate(log.read(position), 1):
            if read.first >= end:
                return
            self._add(read)
            if self._has_enough(number):
                return

    def _has_enough(self, records: int) -> bool:
        if self._rows == 0:
            return self._limits.records is not None and records >= self._limits.records
        return self._rows >= self._limits.rows or self._buffer.bytes >= self._limits.bytes

    def _add(self, read: LogRead) -> None:
        entries = [self._of_interest(entry) for entry in read.entries]
        self._rows += sum(table.rows.num_rows for entry in entries for table in _tables(entry))
        self._buffer.append(read.first, entries)

    def _of_interest(self, entry: Entry) -> Entry:
        if isinstance(entry, CheckpointEntry):
            return entry
        kept = tuple(
            table
            for table in entry.tables
            if self._wanted.includes(table.database_id, table.table_id)
        )
        return entry if len(kept) == len(entry.tables) else replace(entry, tables=kept)


def recount(arrivals: Arrivals, log: LogFile, start: int) -> None:
    """Tell from the log what was written from a sequence on, for the lag of triggers.

    Args:
        arrivals: the databases of interest are watched.
        log: as it was when the server started.
        start: the lowest position of a trigger; earlier entries interest nobody.
    """
    for sequence, written_ns, tables in _entries(log, start):
        arrivals.note_counts(sequence, tables, written_ns)


def _entries(log: LogFile, start: int) -> Iterator[tuple[int, int, Iterable[tuple[int, int, int]]]]:
    """Yield sequence, time and tables of each entry that is kept from a sequence on."""
    try:
        for head in log.heads(start):
            for sequence, (_, tables) in enumerate(head.entries, head.first):
                if sequence >= start:
                    yield sequence, head.written_ns, tables
    except LogDropped as error:
        if error.first > start:
            yield from _entries(log, error.first)


def _tables(entry: Entry) -> Sequence[TableRows]:
    return () if isinstance(entry, CheckpointEntry) else entry.tables
