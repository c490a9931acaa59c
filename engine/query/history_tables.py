"""The system tables that stand on rows in `_internal`: the history of runs, and dead letters.

Each database sees its own; `_internal` sees all.
"""

from __future__ import annotations

import functools

import pyarrow as pa
import pyarrow.compute as pc

from engine.catalog.state import Catalog, Database
from engine.clock import Clock
from engine.model.names import INTERNAL_DATABASE
from engine.model.schema import TIME
from engine.query.system_tables import Provider
from engine.storage.buffer import HotBuffer

__all__ = ["DEAD_LETTER_COLUMNS", "RUN_COLUMNS", "internal_provider", "internal_rows"]

_TIMES = {"event_time": TIME, "start_time": TIME}

RUN_COLUMNS = (
    "run_id",
    "trigger_name",
    "database",
    "kind",
    "position_from",
    "position_to",
    "tick",
    "start_time",
    "duration_ns",
    "outcome",
    "attempts",
    "rows_in",
    "rows_out",
    "cpu_s",
    "peak_memory_bytes",
    "error_code",
)

DEAD_LETTER_COLUMNS = (
    "id",
    "event_time",
    "trigger_name",
    "database",
    "state",
    "kind",
    "position_from",
    "position_to",
    "tick",
    "rows",
    "attempts",
    "error_code",
    "error",
    "event",
)


def internal_provider(
    buffer: HotBuffer, clock: Clock, name: str, columns: tuple[str, ...]
) -> Provider:
    """Return the provider of a system table over a table of `_internal`.

    Args:
        buffer: holds the rows.
        clock: tells which of them are past the retention period.
        name: of the table in `_internal`.
        columns: what the system table shows, in this order.
    """
    return functools.partial(_table, buffer, clock, name, columns)


def internal_rows(
    buffer: HotBuffer, now_ns: int, name: str, catalog: Catalog, database: str
) -> pa.Table:
    """Return the rows of a table of `_internal` that a database may see, oldest first.

    Args:
        buffer: holds the rows.
        now_ns: rows that the retention period ends before this are left out.
        name: of the table.
        catalog: has the table.
        database: name; `_internal` sees all.
    """
    internal = catalog.database(INTERNAL_DATABASE)
    stored = internal.tables[name]
    batches = buffer.snapshot(stored.id, stored.schema).batches
    rows = pa.Table.from_batches(batches, schema=stored.schema.arrow)
    if internal.retention_ns is not None:
        oldest = pa.scalar(now_ns - internal.retention_ns, pa.timestamp("ns"))
        rows = rows.filter(pc.greater_equal(rows[TIME], oldest))
    if database != INTERNAL_DATABASE:
        rows = rows.filter(pc.equal(rows["database"].cast(pa.utf8()), database))
    return rows


def _table(
    buffer: HotBuffer,
    clock: Clock,
    name: str,
    columns: tuple[str, ...],
    catalog: Catalog,
    database: Database,
) -> pa.Table:
    rows = internal_rows(buffer, clock.now_ns(), name, catalog, database.name)
    return pa.table({column: _plain(rows[_TIMES.get(column, column)]) for column in columns})


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return column.cast(pa.utf8()) if pa.types.is_dictionary(column.type) else column
