"""Set up the supervisor of one trigger: its plugin, its inbox, its policy."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, assert_never

import pyarrow as pa

from engine.catalog.state import Catalog
from engine.catalog.store import CatalogStore
from engine.clock import Clock
from engine.config import WorkersConfig
from engine.errors import LogDropped
from engine.logs import LogRing
from engine.model.catch_up import Turn
from engine.model.entry import Position
from engine.model.trigger import (
    AllTablesSpec,
    CronSpec,
    EverySpec,
    Kind,
    RequestSpec,
    TableSpec,
    Trigger,
    kind,
)
from engine.plugins.source import PluginFolder
from engine.workers import moves
from engine.workers.assignment import Assignment, Shared
from engine.workers.callbacks import Callbacks
from engine.workers.inbox import Inbox, RequestInbox
from engine.workers.nudge import Nudge, Nudges
from engine.workers.premises import Premises
from engine.workers.schedule_inbox import ScheduleInbox
from engine.workers.spawn import Spawner
from engine.workers.supervisor import Supervisor
from engine.workers.triggerlog import TriggerLog
from engine.workers.wal_inbox import LogSlice, WalInbox, table_batches

__all__ = ["RowsSlice", "Site", "SupervisorMaker"]


class RowsSlice(Protocol):
    """What the hot buffer reads: rows of some tables in the log entries up to `end`."""

    @property
    def end(self) -> int:
        """Sequence behind the last entry covered."""
        ...

    @property
    def tables(self) -> tuple[tuple[int, pa.RecordBatch], ...]:
        """Rows by table id, in order of first write."""
        ...

    @property
    def causes(self) -> tuple[int, ...]:
        """The shortest cause chain among the entries with such rows."""
        ...


class ReadRows(Protocol):
    """Reads entries of the log from a position on."""

    def __call__(
        self,
        position: int,
        database_id: int,
        table_ids: frozenset[int] | None,
        max_rows: int,
        max_bytes: int,
        until: int | None,
    ) -> RowsSlice | None:
        """Return rows of the entries from `position` on, within the limits; None if they left."""
        ...


@dataclass(frozen=True, slots=True)
class Site:
    """Where supervisors are set up, and with what."""

    catalog: CatalogStore
    clock: Clock
    config: WorkersConfig
    plugins: PluginFolder
    premises: Premises
    callbacks: Callbacks
    shared: Shared
    ring: LogRing
    read_rows: ReadRows


class SupervisorMaker:
    """Makes supervisors; any thread may call."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def make(self, trigger: Trigger, position: Position | None, tick_ns: int | None) -> Supervisor:
        """Make the supervisor of a trigger; see `Registry.start`."""
        site = self._site
        database = site.catalog.catalog.database_by_id(trigger.database_id).name
        nudges = [Nudge() for _ in range(self._lanes(trigger))]
        log_of = functools.partial(
            TriggerLog, site.ring, site.clock, trigger.name, kind(trigger.spec)
        )
        code = site.plugins.find(trigger.plugin, lambda text: log_of().engine_line("WARN", text))
        return Supervisor(
            Assignment(trigger, database, code, self._policy(trigger)),
            self._inbox(trigger, Nudges(nudges), log_of(), position=position, tick_ns=tick_ns),
            nudges,
            spawner=Spawner(site.premises, site.callbacks, trigger, database),
            log_of=log_of,
            shared=site.shared,
        )

    def _lanes(self, trigger: Trigger) -> int:
        return self._site.config.async_lanes if trigger.settings.run_async else 1

    def _policy(self, trigger: Trigger) -> moves.Policy:
        return moves.Policy(
            trigger.settings.error_behavior,
            is_request=kind(trigger.spec) is Kind.REQUEST,
            max_deaths=self._site.config.max_deaths,
            max_attempts=self._site.config.max_attempts,
        )

    def _inbox(
        self,
        trigger: Trigger,
        nudge: Nudges,
        trigger_log: TriggerLog,
        *,
        position: Position | None,
        tick_ns: int | None,
    ) -> Inbox:
        match trigger.spec:
            case AllTablesSpec() | TableSpec():
                return WalInbox(
                    Position(trigger.start).joined(position or Position(0)),
                    functools.partial(self._read, trigger),
                    nudge,
                    max_causes=self._site.config.max_causes,
                    on_loop=functools.partial(self._report_loop, trigger_log),
                )
            case CronSpec() | EverySpec():
                now_ns = self._site.clock.now_ns()
                return ScheduleInbox(
                    trigger.spec,
                    trigger.settings.catch_up,
                    nudge,
                    done_ns=now_ns if tick_ns is None else tick_ns,
                    now_ns=now_ns,
                    on_dropped=functools.partial(_report_dropped, trigger_log, trigger),
                )
            case RequestSpec():
                return RequestInbox(self._site.config.request_queue, nudge)
            case _:
                assert_never(trigger.spec)

    def _read(self, trigger: Trigger, position: int, until: int | None) -> LogSlice:
        catalog = self._site.catalog.catalog
        config = self._site.config
        found = self._site.read_rows(
            position,
            trigger.database_id,
            _table_ids(catalog, trigger),
            config.max_event_rows,
            config.max_event_bytes,
            until,
        )
        if found is None:
            raise LogDropped(position + 1)  # not in memory any more
        tables = table_batches(found.tables, _namer(catalog))
        return LogSlice(found.end, tables, found.causes)

    def _report_loop(self, trigger_log: TriggerLog, causes: tuple[int, ...]) -> None:
        triggers = self._site.catalog.catalog.triggers
        names = [triggers[i].name if i in triggers else f"#{i}" for i in causes]
        trigger_log.record_failure(
            "event dropped: the rows were written by a chain of more than "
            f"{self._site.config.max_causes} plugin runs that feed each other: "
            f"{' -> '.join(names)}; let one of these plugins skip the tables that the others write"
        )


def _report_dropped(trigger_log: TriggerLog, trigger: Trigger, turn: Turn) -> None:
    which = "ticks were" if turn.dropped > 1 else "tick was"
    trigger_log.engine_line(
        "WARN",
        f"{turn.dropped} {which} missed and will not be run "
        f"(catch_up is {trigger.settings.catch_up.value})",
    )


def _table_ids(catalog: Catalog, trigger: Trigger) -> frozenset[int] | None:
    """Return the ids of the trigger's tables; None for all, none for one that does not exist."""
    if not isinstance(trigger.spec, TableSpec):
        return None
    database = catalog.database_by_id(trigger.database_id)
    table = database.tables.get(trigger.spec.table)
    return frozenset() if table is None else frozenset((table.id,))


def _namer(catalog: Catalog) -> Callable[[int], str]:
    def name_of(table_id: int) -> str:
        table = catalog.table_by_id(table_id)
        if table is None:
            raise AssertionError("tables outlive the rows in the buffer")
        return table.name

    return name_of
