from __future__ import annotations

from pathlib import Path

import pytest

from engine.catalog.commands import create_database
from engine.catalog.objects import LocalObjects
from engine.catalog.state import Catalog
from engine.catalog.store import CatalogStore
from engine.model.dryrun import DryRun, Occasion, RequestOccasion, ScheduleOccasion, WriteOccasion
from engine.model.event import RequestEvent, ScheduledEvent, WalEvent
from engine.workers.dryoccasion import OccasionRefused, work_of
from engine.workers.inbox import PendingRequest

SECOND_NS = 1_000_000_000
NOW_NS = 1_735_689_600 * SECOND_NS  # 2025-01-01
REQUEST = RequestEvent({}, {}, b"")


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    store = CatalogStore.open(LocalObjects(tmp_path))
    store.update(create_database("db"))
    return store.catalog


def run(occasion: Occasion, database: str = "db") -> DryRun:
    return DryRun("p.py", database, None, "cache", occasion)


@pytest.mark.parametrize("database", ["db", "nowhere"])
def test_rows_come_by_table_in_the_order_of_the_lines(catalog: Catalog, database: str) -> None:
    lines = WriteOccasion("b v=1 1\na v=2\nb v=3 2")

    work = work_of(run(lines, database), catalog, NOW_NS)

    assert isinstance(work, WalEvent)
    rows = {
        batch.table: batch.rows.column("time").cast("int64").to_pylist() for batch in work.tables
    }
    assert rows == {"b": [1, 2], "a": [NOW_NS]}


@pytest.mark.parametrize("expression", ["0 5 * * * *", "5 * * * *"])
def test_the_next_tick_is_strictly_later(catalog: Catalog, expression: str) -> None:
    occasion = ScheduleOccasion(expression)

    work = work_of(run(occasion), catalog, NOW_NS)

    assert work == ScheduledEvent(NOW_NS + 300 * SECOND_NS)
    assert work_of(run(occasion), catalog, work.time_ns) == ScheduledEvent(
        NOW_NS + 3900 * SECOND_NS
    )


def test_a_request_is_passed_on(catalog: Catalog) -> None:
    work = work_of(run(RequestOccasion(REQUEST)), catalog, NOW_NS)

    assert isinstance(work, PendingRequest)
    assert work.event is REQUEST


@pytest.mark.parametrize(
    ("occasion", "database", "reason"),
    [
        (WriteOccasion("bad"), "db", r"line protocol parse failed: line 1: "),
        (WriteOccasion(""), "db", "incoming write was empty"),
        (WriteOccasion("t v=1"), "no db", "invalid character in database"),
        (ScheduleOccasion("* * * * * *"), "nowhere", "couldn't find db"),
        (RequestOccasion(REQUEST), "nowhere", "couldn't find db"),
        (ScheduleOccasion("a b"), "db", "invalid cron syntax: "),
        (ScheduleOccasion("0 0 0 31 2 *"), "db", "cron schedule never triggers: 0 0 0 31 2"),
    ],
)
def test_what_fires_nothing_is_refused(
    catalog: Catalog, occasion: Occasion, database: str, reason: str
) -> None:
    with pytest.raises(OccasionRefused, match=reason):
        work_of(run(occasion, database), catalog, NOW_NS)
