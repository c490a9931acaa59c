"""System tables that show more than the catalog: histories, the server itself, environments."""

from __future__ import annotations

import os
import uuid

from engine.clock import SystemClock
from engine.config import Config
from engine.environments.jobs import Job
from engine.environments.service import Environments
from engine.ingest.internal import DEAD_LETTERS, RUNS
from engine.logs import LogRing
from engine.query.environment_table import BuildRow, Kept, environment_table
from engine.query.history_tables import DEAD_LETTER_COLUMNS, RUN_COLUMNS, stored_columns
from engine.query.server_tables import Node, node_table
from engine.query.system_tables import Provider, SystemTables

__all__ = ["environment_rows", "system_tables"]


def system_tables(ring: LogRing, config: Config, clock: SystemClock) -> SystemTables:
    """Return the tables that need no service but the log."""
    tables = SystemTables(ring)
    for name, columns in ((RUNS, RUN_COLUMNS), (DEAD_LETTERS, DEAD_LETTER_COLUMNS)):
        tables.register_view(name, name, stored_columns(columns))
    tables.register("nodes", node_table(_node(config, clock)), internal_only=True)
    return tables


def environment_rows(environments: Environments) -> Provider:
    """Return the provider of the table; any thread may call it."""

    def kept(lock_id: str) -> Kept:
        found = environments.condition(lock_id)
        return Kept(found.size_bytes if found.is_there else None, found.reason_broken)

    return environment_table(lambda: map(_of_job, environments.jobs()), kept)


def _of_job(job: Job) -> BuildRow:
    return BuildRow(
        database=job.label.database or None,
        trigger=job.label.trigger,
        state=job.state.value,
        requirements=job.asked.requirements,
        began_ns=job.began_ns,
        last_line=job.last_line,
        error=job.error,
    )


def _node(config: Config, clock: SystemClock) -> Node:
    cores = os.cpu_count() or 1
    return Node(config.node_id, str(uuid.uuid4()), cores, clock.now_ns() // 1_000_000)
