"""The system tables that stand on rows in `_internal`: the history of runs, and dead letters.

Each database sees its own; `_internal` sees all.
"""

from __future__ import annotations

from collections.abc import Iterable

from engine.model.schema import TIME

__all__ = ["DEAD_LETTER_COLUMNS", "RUN_COLUMNS", "stored_columns"]

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


def stored_columns(columns: Iterable[str]) -> dict[str, str]:
    """Return by name shown the name of the column in the stored table."""
    return {column: _TIMES.get(column, column) for column in columns}
