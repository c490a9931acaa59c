"""Tables of our own in the `_internal` database: the history of runs, and dead letters.

They go through the same log as everything else. A row is written once; a later row of the same
tags and time replaces the fields it names, which is how a dead letter changes its state.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass

import msgpack
import pyarrow as pa

from engine.catalog.change import Change, CreateTable, SetRetention
from engine.catalog.state import Catalog
from engine.catalog.store import CatalogStore
from engine.model.entry import TableRows
from engine.model.event import RequestEvent, ScheduledEvent, TableBatch, WalEvent
from engine.model.names import INTERNAL_DATABASE
from engine.model.schema import TIME, Column, ColumnType

__all__ = [
    "DEAD_LETTERS",
    "DEFAULT_RETENTION_NS",
    "RUNS",
    "DeadLetter",
    "InternalTables",
    "RunRecord",
    "pack_event",
    "unpack_event",
]

RUNS = "processing_engine_runs"
DEAD_LETTERS = "processing_engine_dead_letters"
DEFAULT_RETENTION_NS = 7 * 24 * 3600 * 1_000_000_000


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One run, however it ended.

    Args:
        time: start, UTC nanoseconds.
        database: the trigger's.
        trigger_name: its name when it ran.
        kind: `wal_rows`, `schedule` or `request`.
        run_id: as in the log rows of the run.
        position_from: first log entry of a WAL event.
        position_to: the entry behind its last.
        tick: planned time of a scheduled run, UTC nanoseconds.
        duration_ns: from hand-over to result.
        outcome: `succeeded`, or the kind of failure.
        attempts: how many times this event has been run, this time included.
        rows_in: rows of the event.
        rows_out: rows that were committed with the run.
        cpu_s: CPU time that the worker's process used meanwhile, seconds.
        peak_memory_bytes: most memory that the process has had resident so far.
        error_code: stable name of the failure.
    """

    time: int
    database: str
    trigger_name: str
    kind: str
    run_id: str
    position_from: int | None
    position_to: int | None
    tick: int | None
    duration_ns: int
    outcome: str
    attempts: int
    rows_in: int
    rows_out: int
    cpu_s: float | None
    peak_memory_bytes: int | None
    error_code: str | None


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """An event that was given up; fields left None keep what an earlier row says.

    Args:
        time: when it was given up, UTC nanoseconds.
        database: the trigger's.
        trigger_name: its name.
        id: names the letter.
        state: `open`, `retried` or `dropped`.
        kind: `wal_rows` or `schedule`.
        position_from: first log entry of a WAL event.
        position_to: the entry behind its last.
        tick: planned time of a scheduled event, UTC nanoseconds.
        rows: rows of the event.
        attempts: how many times it has been run.
        error_code: stable name of the last failure.
        error: its text with traceback or last output.
        event: the event itself, see `pack_event`.
    """

    time: int
    database: str
    trigger_name: str
    id: str
    state: str
    kind: str | None = None
    position_from: int | None = None
    position_to: int | None = None
    tick: int | None = None
    rows: int | None = None
    attempts: int | None = None
    error_code: str | None = None
    error: str | None = None
    event: str | None = None

    def in_state(self, state: str) -> DeadLetter:
        """Return the row that changes the letter's state and nothing else."""
        return DeadLetter(self.time, self.database, self.trigger_name, self.id, state)


_TAG, _TEXT, _INTEGER = ColumnType.TAG, ColumnType.STRING, ColumnType.INTEGER
_EVENT_COLUMNS = {
    "position_from": _INTEGER,
    "position_to": _INTEGER,
    "tick": _INTEGER,
    "attempts": _INTEGER,
    "error_code": _TEXT,
}
_COLUMNS = {
    RUNS: {
        "database": _TAG,
        "trigger_name": _TAG,
        "kind": _TAG,
        "run_id": _TEXT,
        **_EVENT_COLUMNS,
        "duration_ns": _INTEGER,
        "outcome": _TEXT,
        "rows_in": _INTEGER,
        "rows_out": _INTEGER,
        "cpu_s": ColumnType.FLOAT,
        "peak_memory_bytes": _INTEGER,
    },
    DEAD_LETTERS: {
        "database": _TAG,
        "trigger_name": _TAG,
        "id": _TAG,
        "state": _TEXT,
        "kind": _TEXT,
        **_EVENT_COLUMNS,
        "rows": _INTEGER,
        "error": _TEXT,
        "event": _TEXT,
    },
}


class InternalTables:
    """Turns records into rows of the internal tables, which exist once this is made."""

    def __init__(self, catalog: CatalogStore) -> None:
        self._catalog = catalog
        catalog.update(_missing_tables)

    def runs(self, records: Sequence[RunRecord]) -> TableRows:
        """Return rows of the history of runs."""
        return self._rows(RUNS, records)

    def dead_letters(self, letters: Sequence[DeadLetter]) -> TableRows:
        """Return rows of the dead letters."""
        return self._rows(DEAD_LETTERS, letters)

    def _rows(self, table: str, records: Sequence[RunRecord] | Sequence[DeadLetter]) -> TableRows:
        database = self._catalog.catalog.database(INTERNAL_DATABASE)
        arrays = {
            name: pa.array([getattr(record, name) for record in records], column.arrow)
            for name, column in _COLUMNS[table].items()
        }
        arrays[TIME] = pa.array([record.time for record in records], ColumnType.TIME.arrow)
        present = {name: array for name, array in arrays.items() if array.null_count < len(array)}
        batch = pa.RecordBatch.from_arrays(list(present.values()), names=list(present))
        return TableRows(database.id, database.tables[table].id, batch)


def _missing_tables(catalog: Catalog) -> Sequence[Change]:
    database = catalog.database(INTERNAL_DATABASE)
    changes: list[Change] = []
    if database.retention_ns is None:
        changes.append(SetRetention(database.id, DEFAULT_RETENTION_NS))
    missing = [name for name in _COLUMNS if name not in database.tables]
    for offset, name in enumerate(missing):
        columns = tuple(Column(column, type_) for column, type_ in _COLUMNS[name].items())
        changes.append(CreateTable(catalog.next_id + offset, database.id, name, columns))
    return changes


def pack_event(event: WalEvent | ScheduledEvent | RequestEvent) -> str:
    """Return an event as text: the log that it came from may be gone when it is wanted."""
    match event:
        case WalEvent(start, end, tables, causes):
            parts = [[t.table_id, t.table, _ipc(t.rows)] for t in tables]
            packed = msgpack.packb(["wal", start, end, list(causes), parts])
        case ScheduledEvent(time_ns):
            packed = msgpack.packb(["schedule", time_ns])
        case RequestEvent():
            raise ValueError("a request is answered, never kept")
    return base64.b64encode(packed).decode()


def unpack_event(text: str) -> WalEvent | ScheduledEvent:
    """Return the event that `pack_event` made a text of."""
    kind, *fields = msgpack.unpackb(base64.b64decode(text))
    if kind == "schedule":
        return ScheduledEvent(*fields)
    start, end, causes, parts = fields
    tables = tuple(TableBatch(table_id, name, _batch(rows)) for table_id, name, rows in parts)
    return WalEvent(start, end, tables, tuple(causes))


def _ipc(rows: pa.RecordBatch) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema) as writer:
        writer.write_batch(rows)
    return bytes(sink.getvalue())


def _batch(packed: bytes) -> pa.RecordBatch:
    with pa.ipc.open_stream(packed) as reader:
        return reader.read_next_batch()
