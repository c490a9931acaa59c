"""Set up the supervisor of one trigger: its plugin, its inbox, its policy."""

from __future__ import annotations

import functools
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import assert_never

from engine.catalog.store import CatalogStore
from engine.clock import Clock
from engine.config import WorkersConfig
from engine.ingest.backlog import Backlog
from engine.logs import LogRing
from engine.model.catch_up import Turn
from engine.model.entry import Entry, Position, Run, RunEntry, Ticks
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
from engine.plugins.code import Report
from engine.plugins.source import PluginCode, PluginFolder
from engine.storage.arrivals import Arrivals
from engine.workers import moves
from engine.workers.assignment import Assignment, Shared
from engine.workers.bookmarks import Bookmark
from engine.workers.callbacks import Callbacks
from engine.workers.inbox import Inbox, RequestInbox
from engine.workers.nudge import Nudge, Nudges
from engine.workers.premises import Premises
from engine.workers.schedule_inbox import ScheduleInbox
from engine.workers.spawn import Spawner
from engine.workers.supervisor import Supervisor
from engine.workers.torrent import Torrent
from engine.workers.triggerlog import TriggerLog
from engine.workers.wal_inbox import Reports, WalInbox
from engine.workers.wal_reading import TriggerReading

__all__ = ["Site", "SupervisorMaker"]


@dataclass(frozen=True, slots=True)
class Site:
    """Where supervisors are set up, and with what.

    Args:
        follow: returns code whose packages follow it; is given the trigger, its code, and where
            to tell what goes wrong.
    """

    catalog: CatalogStore
    clock: Clock
    config: WorkersConfig
    plugins: PluginFolder
    premises: Premises
    callbacks: Callbacks
    shared: Shared
    ring: LogRing
    backlog: Backlog
    arrivals: Arrivals
    commit: Callable[[Entry], Future[int]]
    follow: Callable[[Trigger, PluginCode, Report], PluginCode] = lambda _trigger, code, _: code


class SupervisorMaker:
    """Makes supervisors; any thread may call."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def make(self, trigger: Trigger, bookmark: Bookmark) -> Supervisor:
        """Make the supervisor of a trigger; see `Registry.start`."""
        site = self._site
        database = site.catalog.catalog.database_by_id(trigger.database_id).name
        nudges = [Nudge() for _ in range(self._lanes(trigger))]
        log_of = functools.partial(
            TriggerLog,
            site.ring,
            site.clock,
            trigger.name,
            kind(trigger.spec),
            Torrent(),
        )
        report = functools.partial(_warn, log_of())
        code = site.plugins.find(trigger.plugin, report)
        return Supervisor(
            Assignment(
                trigger, database, site.follow(trigger, code, report), self._policy(trigger)
            ),
            self._inbox(trigger, Nudges(nudges), log_of(), bookmark),
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
        self, trigger: Trigger, nudge: Nudges, trigger_log: TriggerLog, bookmark: Bookmark
    ) -> Inbox:
        match trigger.spec:
            case AllTablesSpec() | TableSpec():
                return self._wal_inbox(trigger, nudge, trigger_log, bookmark)
            case CronSpec() | EverySpec():
                now_ns = self._site.clock.now_ns()
                return ScheduleInbox(
                    trigger.spec,
                    trigger.settings.catch_up,
                    nudge,
                    done=bookmark.ticks or Ticks(now_ns),
                    open_ticks=[start for start, _ in bookmark.open_ranges],
                    now_ns=now_ns,
                    on_dropped=functools.partial(_report_dropped, trigger_log, trigger),
                    begin_anew=functools.partial(self._begin_anew, trigger_log, trigger),
                )
            case RequestSpec():
                return RequestInbox(self._site.config.request_queue, nudge)
            case _:
                assert_never(trigger.spec)

    def _wal_inbox(
        self, trigger: Trigger, nudge: Nudges, trigger_log: TriggerLog, bookmark: Bookmark
    ) -> WalInbox:
        site = self._site
        site.arrivals.watch(trigger.database_id)
        return WalInbox(
            Position(trigger.start).joined(bookmark.position or Position(0)),
            TriggerReading(
                trigger,
                lambda: site.catalog.catalog,
                site.config,
                backlog=site.backlog,
                arrivals=site.arrivals,
            ),
            nudge,
            open_ranges=bookmark.open_ranges,
            max_causes=site.config.max_causes,
            reports=Reports(
                functools.partial(self._report_loop, trigger_log),
                functools.partial(_report_skip, trigger_log),
                functools.partial(_report_gap, trigger_log),
            ),
        )

    def _begin_anew(self, trigger_log: TriggerLog, trigger: Trigger, ticks: Ticks) -> None:
        entry = RunEntry(Run(trigger.id, ""), trigger.database_id, (), ticks, ())
        self._site.commit(entry).result()
        trigger_log.engine_line(
            "WARN",
            "the clock was set back by more than half an hour; the schedule begins anew, so ticks "
            "whose times come again are run again",
        )

    def _report_loop(self, trigger_log: TriggerLog, causes: tuple[int, ...]) -> None:
        triggers = self._site.catalog.catalog.triggers
        names = [triggers[i].name if i in triggers else f"#{i}" for i in causes]
        trigger_log.record_failure(
            "event dropped: the rows were written by a chain of more than "
            f"{self._site.config.max_causes} plugin runs that feed each other: "
            f"{' -> '.join(names)}; let one of these plugins skip the tables that the others write"
        )


def _warn(trigger_log: TriggerLog, text: str) -> None:
    trigger_log.engine_line("WARN", text)


def _report_dropped(trigger_log: TriggerLog, trigger: Trigger, turn: Turn) -> None:
    which = "ticks were" if turn.dropped > 1 else "tick was"
    trigger_log.engine_line(
        "WARN",
        f"{turn.dropped} {which} missed and will not be run "
        f"(catch_up is {trigger.settings.catch_up.value})",
    )


def _report_skip(trigger_log: TriggerLog, start: int, end: int, rows: int) -> None:
    trigger_log.engine_line(
        "WARN",
        f"{_rows(rows)} passed over to catch up (on_lag is newest; log entries {start} to "
        f"{end - 1})",
    )


def _report_gap(trigger_log: TriggerLog, start: int, end: int, rows: int | None) -> None:
    how_many = "an unknown number of rows were" if rows is None else _rows(rows)
    trigger_log.record_failure(
        f"{how_many} lost to this trigger: the write-ahead log had no room to keep log entries "
        f"{start} to {end - 1} until it came to them; they can be queried"
    )


def _rows(count: int) -> str:
    return "1 row was" if count == 1 else f"{count} rows were"
