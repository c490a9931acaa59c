"""What the write-ahead log holds: entries, one per write request or plugin run.

A log position is the sequence number of an entry; sequence numbers count entries from 1 without
gaps. Databases, tables and triggers are named by catalog ids, which are never used again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa

__all__ = [
    "CheckpointEntry",
    "Client",
    "Entry",
    "IdempotenceKey",
    "Origin",
    "Position",
    "Progress",
    "Run",
    "RunEntry",
    "TableRows",
    "Ticks",
    "WriteEntry",
]


@dataclass(frozen=True, slots=True)
class Client:
    """The origin of a write that came from outside."""


@dataclass(frozen=True, slots=True)
class Run:
    """The origin of what one run of a plugin wrote."""

    trigger_id: int
    run_id: str


Origin = Client | Run


@dataclass(frozen=True, slots=True)
class Position:
    """How far a trigger has come in the log.

    Args:
        low: every entry below this sequence number is done.
        finished: [from, to) ranges above `low` that are done, sorted and disjoint; only a trigger
            with concurrent runs has any.
    """

    low: int
    finished: tuple[tuple[int, int], ...] = ()

    def joined(self, other: Position) -> Position:
        """Return the position that both together make: each says only what it knows is done."""
        low = max(self.low, other.low)
        finished: list[tuple[int, int]] = []
        for start, end in sorted({*self.finished, *other.finished}):
            if start <= low:
                low = max(low, end)
            elif finished and start <= finished[-1][1]:
                finished[-1] = (finished[-1][0], max(end, finished[-1][1]))
            else:
                finished.append((start, end))
        return Position(low, tuple(finished))

    def covers(self, start: int, end: int) -> bool:
        """Whether all entries of [start, end) are done."""
        return end <= self.low or any(
            first <= start and end <= after for first, after in self.finished
        )


@dataclass(frozen=True, slots=True)
class Ticks:
    """How far a scheduled trigger has come.

    Args:
        low_ns: every tick up to this time, and at it, is done; UTC nanoseconds.
        finished: ticks after `low_ns` that are done, sorted; only a trigger with concurrent runs
            has any.
    """

    low_ns: int
    finished: tuple[int, ...] = ()

    def joined(self, other: Ticks) -> Ticks:
        """Return what both together say is done."""
        low_ns = max(self.low_ns, other.low_ns)
        finished = {*self.finished, *other.finished}
        return Ticks(low_ns, tuple(sorted(tick_ns for tick_ns in finished if tick_ns > low_ns)))

    def covers(self, tick_ns: int) -> bool:
        """Whether a tick is done."""
        return tick_ns <= self.low_ns or tick_ns in self.finished


Progress = Position | Ticks


@dataclass(frozen=True, slots=True)
class IdempotenceKey:
    """Names one synchronous write of one event, so that a repeated run stores it once.

    Args:
        trigger_id: whose event.
        event_from: first sequence of a WAL event, or the tick of a scheduled one.
        event_to: end of the WAL event (exclusive), or the tick again.
        ordinal: the how-manieth synchronous write of the run, from 0.
    """

    trigger_id: int
    event_from: int
    event_to: int
    ordinal: int


@dataclass(frozen=True, slots=True)
class TableRows:
    """Rows of one table.

    Args:
        database_id: catalog id of the database.
        table_id: catalog id of the table, unique over all databases.
        rows: tags in the order of first appearance, then fields likewise, then `time` last; types
            as `ColumnType.arrow`; null means absent.
    """

    database_id: int
    table_id: int
    rows: pa.RecordBatch


@dataclass(frozen=True, slots=True)
class WriteEntry:
    """One write request of a client, or one synchronous write of a plugin."""

    origin: Origin
    database_id: int
    causes: tuple[int, ...]
    key: IdempotenceKey | None
    tables: tuple[TableRows, ...]


@dataclass(frozen=True, slots=True)
class RunEntry:
    """One finished run: all its buffered rows and its trigger's progress, or neither.

    Args:
        origin: trigger and run.
        database_id: the trigger's database.
        causes: ids of the triggers that led to this write, oldest first, this one last.
        progress: None for a request plugin.
        tables: may be empty.
    """

    origin: Run
    database_id: int
    causes: tuple[int, ...]
    progress: Progress | None
    tables: tuple[TableRows, ...]


@dataclass(frozen=True, slots=True)
class CheckpointEntry:
    """The head of a segment: what older segments said that must outlive them.

    Args:
        positions: by trigger id.
        ticks: by trigger id.
        open_events: by trigger id, [from, to) of the events whose run wrote synchronously and did
            not finish, sorted; a tick stands there twice.
        keys: idempotence keys of those runs.
    """

    positions: Mapping[int, Position]
    ticks: Mapping[int, Ticks]
    open_events: Mapping[int, tuple[tuple[int, int], ...]]
    keys: tuple[IdempotenceKey, ...]


Entry = WriteEntry | RunEntry | CheckpointEntry
