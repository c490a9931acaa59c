"""The table `system.processing_engine_sandbox`: what is enforced on plugins, promise by promise.

Threads: any may call, the provider too.
"""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa

from engine.catalog.state import Catalog, Database
from engine.sandbox.report import Report

__all__ = ["sandbox_table"]

_SCHEMA = pa.schema(
    [
        pa.field("promise", pa.utf8(), nullable=False),
        pa.field("enforced", pa.bool_(), nullable=False),
        pa.field("enforced_by", pa.utf8(), nullable=False),
        pa.field("why_not", pa.utf8(), nullable=False),
        pa.field("level", pa.utf8(), nullable=False),
        pa.field("mode", pa.utf8(), nullable=False),
    ]
)


def sandbox_table(
    report: Callable[[], Report], mode: str
) -> Callable[[Catalog, Database], pa.Table]:
    """Return the provider of the table.

    Args:
        report: tells what the probe found.
        mode: `required`, `best-effort` or `off`.
    """

    def provide(_catalog: Catalog, _database: Database) -> pa.Table:
        found = report()
        rows = [
            {
                "promise": promise.text,
                "enforced": promise.is_enforced,
                "enforced_by": promise.by,
                "why_not": promise.why_not,
                "level": found.level.value,
                "mode": mode,
            }
            for promise in found.promises
        ]
        return pa.Table.from_pylist(rows, _SCHEMA)

    return provide
