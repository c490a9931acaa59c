"""What fires a dry run, turned into the event that a trigger's worker would get.

Any thread may call.

Source: InfluxDB 3 Core for the texts of errors.
"""

from __future__ import annotations

from concurrent.futures import Future
from typing import assert_never

from engine.catalog.state import Catalog
from engine.errors import InvalidDatabaseName
from engine.ingest.body import rehearse
from engine.model.cron import CronSyntaxError, parse_cron, with_seconds
from engine.model.dryrun import DryRun, Occasion, RequestOccasion, ScheduleOccasion, WriteOccasion
from engine.model.event import ScheduledEvent, TableBatch, WalEvent
from engine.model.names import check_database_name
from engine.model.schedule import next_fire
from engine.model.spec import AllTablesSpec, CronSpec, RequestSpec, TriggerSpec
from engine.workers.inbox import PendingRequest

__all__ = ["OccasionRefused", "spec_of", "work_of"]


class OccasionRefused(Exception):
    """The run cannot begin; the text says why."""


def spec_of(occasion: Occasion) -> TriggerSpec:
    """Return the specification of a trigger that this would fire."""
    match occasion:
        case WriteOccasion():
            return AllTablesSpec()
        case ScheduleOccasion(expression):
            return CronSpec(expression)
        case RequestOccasion():
            return RequestSpec("test")
        case _:
            assert_never(occasion)


def work_of(
    run: DryRun, catalog: Catalog, now_ns: int
) -> WalEvent | ScheduledEvent | PendingRequest:
    """Return the event.

    Args:
        run: what is asked for.
        catalog: what exists; a written database need not, any other must.
        now_ns: the time of lines without one, and before the next tick.

    Raises:
        OccasionRefused: a bad line, a schedule without a next tick, an unknown database.
    """
    if isinstance(run.occasion, WriteOccasion):
        return _written(run.database, run.occasion.lines, catalog, now_ns)
    if run.database not in catalog.databases:
        raise OccasionRefused("couldn't find db")
    match run.occasion:
        case ScheduleOccasion(expression):
            return _due(expression, now_ns)
        case RequestOccasion(event):
            return PendingRequest(event, Future())
        case _:
            assert_never(run.occasion)


def _written(database: str, lines: str, catalog: Catalog, now_ns: int) -> WalEvent:
    try:
        check_database_name(database)
    except InvalidDatabaseName as error:
        raise OccasionRefused(str(error)) from error
    rehearsal = rehearse(catalog, database, lines, now_ns)
    if rehearsal.rejected:
        first = rehearsal.rejected[0]
        raise OccasionRefused(f"line protocol parse failed: line {first.number}: {first.reason}")
    if not rehearsal.tables:
        raise OccasionRefused("incoming write was empty")
    numbered = enumerate(rehearsal.tables.items())
    tables = tuple(TableBatch(number, name, rows) for number, (name, rows) in numbered)
    return WalEvent(0, 1, tables, ())


def _due(expression: str, now_ns: int) -> ScheduledEvent:
    spec = CronSpec(with_seconds(expression))
    try:
        parse_cron(spec.expression)
    except CronSyntaxError as error:
        raise OccasionRefused(f"invalid cron syntax: {error}") from error
    due_ns = next_fire(spec, now_ns)
    if due_ns is None:
        raise OccasionRefused(f"cron schedule never triggers: {expression}")
    return ScheduledEvent(due_ns)
