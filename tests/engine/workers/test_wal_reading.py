"""What a WAL trigger reads, and what it does about lag."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from engine.catalog.change import CreateDatabase, CreateTable
from engine.catalog.fold import apply_all
from engine.catalog.state import Catalog
from engine.config import WorkersConfig
from engine.ingest.backlog import Backlog, Found
from engine.model.entry import Client, TableRows, WriteEntry
from engine.model.lag import MERGE_FACTOR, Lag, OnLag
from engine.model.schema import Column, ColumnType
from engine.model.trigger import AllTablesSpec, TableSpec, Trigger, TriggerSettings
from engine.storage.arrivals import Arrivals
from engine.storage.buffer import HotBuffer
from engine.wal.log import Log
from engine.workers.wal_inbox import LogSlice, Skip
from engine.workers.wal_reading import TriggerReading
from worker.wire import LIMITS

DATABASE, CPU, DISK = 1, 2, 3
COLUMNS = (Column("v", ColumnType.INTEGER),)
CATALOG = apply_all(
    Catalog.empty("uuid"),
    [
        CreateDatabase(DATABASE, "db"),
        CreateTable(CPU, DATABASE, "cpu", COLUMNS),
        CreateTable(DISK, DATABASE, "disk", COLUMNS),
    ],
    1,
)
MAX_ROWS = 10


class Place:
    """A log and a buffer; entry 1 is a checkpoint, each other has three rows of one table."""

    def __init__(self, folder: Path) -> None:
        self.log = Log.open(folder)
        self.buffer = HotBuffer()
        self.arrivals = Arrivals()
        self.arrivals.watch(DATABASE)

    def write(self, *tables: int) -> None:
        for table_id in tables:
            rows = pa.record_batch(
                {"v": pa.array([1, 2, 3]), "time": pa.array([1, 2, 3], pa.timestamp("ns"))}
            )
            entry = WriteEntry(Client(), DATABASE, (), None, (TableRows(DATABASE, table_id, rows),))
            first = self.log.append([entry])
            self.buffer.append(first, [entry])
            self.arrivals.note(first, [entry], first * 100)

    def reading(
        self,
        table: str | None,
        on_lag: OnLag = OnLag.KEEP,
        backlog: Backlog | None = None,
        config: WorkersConfig | None = None,
    ) -> TriggerReading:
        spec = AllTablesSpec() if table is None else TableSpec(table)
        trigger = Trigger(
            id=7,
            database_id=DATABASE,
            name="t",
            plugin="p.py",
            spec=spec,
            settings=TriggerSettings(on_lag=on_lag),
            arguments={},
            disabled=False,
            start=1,
        )
        return TriggerReading(
            trigger,
            lambda: CATALOG,
            config or WorkersConfig(max_event_rows=MAX_ROWS),
            backlog=backlog
            or Backlog(self.buffer, self.log, lambda: CATALOG, lambda: self.log.next_sequence),
            arrivals=self.arrivals,
        )


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path / "wal")
    yield made
    made.log.close()


def rows(found: LogSlice) -> dict[str, int]:
    return {table.table: table.rows.num_rows for table in found.tables}


def test_a_trigger_reads_its_table_or_all_in_events_of_bounded_size(place: Place) -> None:
    place.write(CPU, DISK, CPU, CPU, CPU)

    one, all_ = place.reading("cpu").next(1, None), place.reading(None).next(1, None)

    assert (one.start, one.end, rows(one)) == (1, 6, {"cpu": 9})
    assert (all_.start, all_.end, rows(all_)) == (1, 5, {"cpu": 6, "disk": 3})
    assert rows(place.reading("cpu").next(1, 4)) == {"cpu": 3}


def test_a_table_that_does_not_exist_yet_has_no_rows_and_no_lag(place: Place) -> None:
    place.write(CPU, CPU)
    reading = place.reading("memory", OnLag.NEWEST)

    assert reading.next(1, None) == LogSlice(1, 4, (), ())
    assert reading.skip(1) is None
    assert reading.lag([(1, 2)], 2) == Lag(0, 0, None)
    assert reading.rows_in([(1, 3)]) == 0


def test_an_event_is_read_again_exactly_whatever_its_size(place: Place) -> None:
    place.write(*[CPU] * 9)

    again = place.reading("cpu").exactly(2, 9)

    assert (again.start, again.end, rows(again)) == (2, 9, {"cpu": 21})


@pytest.mark.parametrize(("table", "skip"), [("cpu", Skip(5, 9)), (None, Skip(7, 15))])
def test_newest_passes_over_what_does_not_fit_into_one_event(
    place: Place, table: str | None, skip: Skip
) -> None:
    place.write(CPU, CPU, CPU, CPU, DISK, DISK, CPU, CPU)

    assert place.reading(table, OnLag.NEWEST).skip(1) == skip
    assert place.reading(table, OnLag.NEWEST).skip(skip.to) is None
    for other in (OnLag.KEEP, OnLag.MERGE):
        assert place.reading(table, other).skip(1) is None


def test_merge_takes_more_at_once_only_when_it_lags(place: Place) -> None:
    place.write(*[CPU] * 40)
    reading = place.reading("cpu", OnLag.MERGE)

    assert rows(reading.next(1, None)) == {"cpu": MERGE_FACTOR * MAX_ROWS // 3 * 3}
    assert rows(reading.next(40, None)) == {"cpu": 6}
    assert rows(place.reading("cpu").next(1, None)) == {"cpu": 9}


class Asked(Backlog):
    """Notes how many bytes one event may have."""

    max_bytes = 0

    def read(  # type: ignore[override]
        self, position: int, *limits: object
    ) -> Found:
        self.max_bytes = limits[3]  # type: ignore[assignment]
        return Found(position, position + 1, (), ())


def test_a_merged_event_fits_into_one_message(place: Place) -> None:
    place.write(*[CPU] * 40)
    backlog = Asked(place.buffer, place.log, lambda: CATALOG, lambda: 42)
    usual = WorkersConfig().max_event_bytes

    place.reading("cpu", OnLag.MERGE, backlog, WorkersConfig(max_event_rows=MAX_ROWS)).next(1, None)

    assert usual < backlog.max_bytes < LIMITS.message_bytes


def test_lag_counts_what_is_in_hand_and_what_waits(place: Place) -> None:
    place.write(CPU, DISK, CPU, CPU)

    assert place.reading("cpu").lag([(2, 3)], 5) == Lag(2, 6, 200)
    assert place.reading("cpu").lag([], 5) == Lag(1, 3, 500)
    assert place.reading("cpu").lag([], 6) == Lag(0, 0, None)
    assert place.reading(None).lag([], 3) == Lag(3, 9, 300)


def test_rows_of_ranges_are_counted_as_far_as_the_log_has_them(place: Place) -> None:
    place.write(CPU, DISK, CPU, CPU)

    assert place.reading("cpu").rows_in([(1, 4), (5, 9)]) == 6
    assert place.reading(None).rows_in([(1, 4)]) == 6
