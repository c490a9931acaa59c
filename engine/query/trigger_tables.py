"""The table `system.processing_engine_triggers`: what the catalog says, and what goes on.

The first five columns are those of InfluxDB 3 Core. The state comes from whoever runs the
triggers; without such a source, every trigger that is enabled counts as broken.

Threads: the provider may be called from any, and so must be what it is given.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping

import pyarrow as pa

from engine.catalog.state import Catalog, Database
from engine.config import SandboxConfig
from engine.model.grants import grant_texts
from engine.model.lag import Lag
from engine.model.spec import spec_json
from engine.model.trigger import Trigger

__all__ = ["trigger_table"]

_SCHEMA = pa.schema(
    [
        pa.field("trigger_name", pa.utf8(), nullable=False),
        pa.field("plugin_filename", pa.utf8(), nullable=False),
        pa.field("trigger_specification", pa.utf8(), nullable=False),
        pa.field("disabled", pa.bool_(), nullable=False),
        pa.field("error_behavior", pa.utf8(), nullable=False),
        pa.field("run_async", pa.bool_(), nullable=False),
        pa.field("catch_up", pa.utf8(), nullable=False),
        pa.field("time_limit_s", pa.float64()),
        pa.field("cors", pa.utf8(), nullable=False),
        pa.field("state", pa.utf8(), nullable=False),
        pa.field("on_lag", pa.utf8(), nullable=False),
        pa.field("lag_events", pa.int64()),
        pa.field("lag_rows", pa.int64()),
        pa.field("lag_s", pa.float64()),
        pa.field("skipped_rows", pa.int64()),
        pa.field("gap_rows", pa.int64()),
        pa.field("grants", pa.utf8(), nullable=False),
        pa.field("limit_memory_bytes", pa.int64(), nullable=False),
        pa.field("limit_cpu", pa.float64()),
        pa.field("limit_processes", pa.int64(), nullable=False),
        pa.field("limit_disk_bytes", pa.int64(), nullable=False),
    ]
)
_DEFAULTS = SandboxConfig()
# What goes on between two waits is one to whoever looks from outside.
_STATES = {"committing": "running", "pausing": "paused", "ended": "broken"}


def trigger_table(
    phases: Callable[[], Mapping[int, str]],
    lags: Callable[[], Mapping[int, Lag]] = dict,
    now_ns: Callable[[], int] = time.time_ns,
    sandbox: SandboxConfig = _DEFAULTS,
) -> Callable[[Catalog, Database], pa.Table]:
    """Return the provider of the table.

    Args:
        phases: tells what each running trigger does, by trigger id.
        lags: tells how far each running WAL trigger is behind, likewise.
        now_ns: tells the time, UTC nanoseconds.
        sandbox: what triggers may reach and use that do not say.
    """

    def provide(catalog: Catalog, database: Database) -> pa.Table:
        now, behind, time_ns = phases(), lags(), now_ns()
        rows = [
            _row(trigger, now) | _lag(behind.get(trigger.id), time_ns) | _confines(trigger, sandbox)
            for trigger in catalog.triggers_of(database.id)
        ]
        return pa.Table.from_pylist(rows, _SCHEMA)

    return provide


def _row(trigger: Trigger, phases: Mapping[int, str]) -> dict[str, object]:
    settings = trigger.settings
    return {
        "trigger_name": trigger.name,
        "plugin_filename": trigger.plugin,
        "trigger_specification": spec_json(trigger.spec),
        "disabled": trigger.disabled,
        "error_behavior": settings.error_behavior.value,
        "run_async": settings.run_async,
        "catch_up": settings.catch_up.value,
        "time_limit_s": settings.limits.time_s,
        "cors": ",".join(settings.cors),
        "state": _state(trigger, phases),
        "on_lag": settings.on_lag.value,
    }


def _lag(lag: Lag | None, now_ns: int) -> dict[str, object]:
    if lag is None:
        return {}
    oldest_ns = now_ns if lag.oldest_ns is None else lag.oldest_ns
    return {
        "lag_events": lag.events,
        "lag_rows": lag.rows,
        "lag_s": max(0.0, (now_ns - oldest_ns) / 1e9),
        "skipped_rows": lag.skipped_rows,
        "gap_rows": lag.gap_rows,
    }


def _confines(trigger: Trigger, sandbox: SandboxConfig) -> dict[str, object]:
    """Return what counts for a trigger, whoever said it."""
    limits = sandbox.limits_of(trigger.settings.limits)
    return {
        "grants": json.dumps(grant_texts(sandbox.grants_of(trigger.settings.grants))),
        "limit_memory_bytes": limits.memory_bytes,
        "limit_cpu": limits.cpu,
        "limit_processes": limits.processes,
        "limit_disk_bytes": limits.disk_bytes,
    }


def _state(trigger: Trigger, phases: Mapping[int, str]) -> str:
    if trigger.disabled:
        return "disabled"
    phase = phases.get(trigger.id, "ended")
    return _STATES.get(phase, phase)
