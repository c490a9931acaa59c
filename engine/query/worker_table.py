"""The table `system.processing_engine_workers`: what each running worker uses, and may use.

Whoever watches over the workers gives the rows; the state of a worker is that of its trigger.
Threads: the provider may be called from any, and so must be what it is given.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import pyarrow as pa

from engine.catalog.state import Catalog, Database
from engine.model.limits import Limits
from engine.model.names import INTERNAL_DATABASE

__all__ = ["WorkerRow", "worker_table"]

_SCHEMA = pa.schema(
    [
        pa.field("trigger_name", pa.utf8(), nullable=False),
        pa.field("database", pa.utf8(), nullable=False),
        pa.field("pid", pa.int64(), nullable=False),
        pa.field("state", pa.utf8(), nullable=False),
        pa.field("started", pa.timestamp("ns"), nullable=False),
        pa.field("rss_bytes", pa.int64()),
        pa.field("peak_memory_bytes", pa.int64()),
        pa.field("cpu_s", pa.float64()),
        pa.field("processes", pa.int64()),
        pa.field("threads", pa.int64()),
        pa.field("open_files", pa.int64()),
        pa.field("private_bytes", pa.int64()),
        pa.field("memory_limit_bytes", pa.int64()),
        pa.field("cpu_limit", pa.float64()),
        pa.field("processes_limit", pa.int64()),
        pa.field("disk_limit_bytes", pa.int64()),
        pa.field("limited_by", pa.utf8(), nullable=False),
    ]
)
_STATES = {"committing": "running", "pausing": "paused", "ended": "stopping", "broken": "stopping"}


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerRow:
    """One worker; None is what could not be measured, or not yet.

    Args:
        trigger_id: catalog id; 0 for a test of a plugin.
        trigger: name of the trigger.
        database: name of its database.
        pid: of the process that was started.
        started_ns: UTC nanoseconds.
        limits: what it may use.
        limited_by: `cgroup` when the kernel holds memory and processes, `watch` when they are
            looked at now and then.
        rss_bytes: resident memory, summed over its processes.
        peak_memory_bytes: the most so far.
        cpu_s: CPU time so far.
        processes: now.
        threads: of all of them.
        open_files: of all of them.
        private_bytes: what its private folder holds.
    """

    trigger_id: int
    trigger: str
    database: str
    pid: int
    started_ns: int
    limits: Limits
    limited_by: str
    rss_bytes: int | None = None
    peak_memory_bytes: int | None = None
    cpu_s: float | None = None
    processes: int | None = None
    threads: int | None = None
    open_files: int | None = None
    private_bytes: int | None = None


def worker_table(
    rows: Callable[[], Iterable[WorkerRow]], phases: Callable[[], Mapping[int, str]]
) -> Callable[[Catalog, Database], pa.Table]:
    """Return the provider of the table: a database sees its own workers, `_internal` all.

    Args:
        rows: tells what the workers use.
        phases: tells what each running trigger does, by trigger id.
    """

    def provide(_catalog: Catalog, database: Database) -> pa.Table:
        now, name = phases(), database.name
        shown = [row for row in rows() if name in {row.database, INTERNAL_DATABASE}]
        return pa.Table.from_pylist([_cells(row, now) for row in shown], _SCHEMA)

    return provide


def _cells(row: WorkerRow, phases: Mapping[int, str]) -> dict[str, object]:
    phase = phases.get(row.trigger_id, "ended") if row.trigger_id else "testing"
    return {
        "trigger_name": row.trigger,
        "database": row.database,
        "pid": row.pid,
        "state": _STATES.get(phase, phase),
        "started": row.started_ns,
        "rss_bytes": row.rss_bytes,
        "peak_memory_bytes": row.peak_memory_bytes,
        "cpu_s": row.cpu_s,
        "processes": row.processes,
        "threads": row.threads,
        "open_files": row.open_files,
        "private_bytes": row.private_bytes,
        "memory_limit_bytes": row.limits.memory_bytes,
        "cpu_limit": row.limits.cpu,
        "processes_limit": row.limits.processes,
        "disk_limit_bytes": row.limits.disk_bytes,
        "limited_by": row.limited_by,
    }
