from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from engine.catalog.change import CreateDatabase, CreateTable
from engine.catalog.fold import apply_all
from engine.catalog.state import Catalog
from engine.ingest.backlog import Backlog, Found, recount
from engine.model.entry import Client, Run, RunEntry, TableRows, WriteEntry
from engine.model.schema import Column, ColumnType
from engine.storage.arrivals import Arrivals, Count
from engine.storage.buffer import HotBuffer
from engine.wal.log import Log

DATABASE, CPU, DISK, OTHER, GONE = 1, 2, 3, 4, 99
COLUMNS = (Column("v", ColumnType.INTEGER),)
CATALOG = apply_all(
    Catalog.empty("uuid"),
    [
        CreateDatabase(DATABASE, "db"),
        CreateTable(CPU, DATABASE, "cpu", COLUMNS),
        CreateTable(DISK, DATABASE, "disk", COLUMNS),
        CreateDatabase(OTHER, "other"),
    ],
    1,
)


def rows(*values: int) -> pa.RecordBatch:
    times = pa.array(values, pa.timestamp("ns"))
    return pa.record_batch({"v": pa.array(values, pa.int64()), "time": times})


def entry(number: int) -> WriteEntry | RunEntry:
    """Return an entry whose values name it: rows for CPU, for DISK too every third time."""
    values = [number * 10 + n for n in range(1 + number % 3)]
    tables = [TableRows(DATABASE, CPU, rows(*values))]
    if number % 3 == 0:
        tables.append(TableRows(DATABASE, DISK, rows(number)))
    if number % 4 == 0:
        return RunEntry(Run(7, "r"), DATABASE, (7,), None, tuple(tables))
    return WriteEntry(Client(), DATABASE, (), None, tuple(tables))


class Place:
    """A log and a hot buffer with the same entries."""

    def __init__(self, folder: Path) -> None:
        self.log = Log.open(folder, segment_bytes=4096)
        self.buffer = HotBuffer()
        self.backlog = self._over(self.buffer)

    def write(self, *entries: WriteEntry | RunEntry) -> None:
        self.buffer.append(self.log.append(entries), entries)

    def _over(self, buffer: HotBuffer) -> Backlog:
        return Backlog(buffer, self.log, lambda: CATALOG, lambda: self.log.next_sequence)

    def restart(self) -> None:
        """Begin with a buffer that knows no more than that all rows are in files."""
        end, self.buffer = self.log.next_sequence, HotBuffer()
        for table_id in (CPU, DISK):
            self.buffer.start_at(DATABASE, table_id, end)
        self.backlog = self._over(self.buffer)

    def persist(self) -> None:
        """Let the rows leave the buffer as if they were in files."""
        for table_id in (CPU, DISK):
            self.buffer.drop_persisted(table_id, self.buffer.end)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path / "wal")
    yield made
    made.log.close()


def events(place: Place, table_ids: frozenset[int] | None, max_rows: int) -> list[Found]:
    found, position = [], 1
    while position < place.buffer.end:
        found.append(place.backlog.read(position, DATABASE, table_ids, max_rows, 2**30))
        position = found[-1].end
    return found


def values(found: list[Found], table: int) -> list[int]:
    batches = [batch for each in found for table_id, batch in each.tables if table_id == table]
    return [value for batch in batches for value in batch.column("v").to_pylist()]


@pytest.mark.parametrize("table_ids", [None, frozenset((CPU,)), frozenset((DISK,))])
def test_the_log_gives_the_same_rows_as_the_buffer_in_events_of_bounded_size(
    place: Place, table_ids: frozenset[int] | None
) -> None:
    for number in range(1, 120):
        place.write(entry(number), entry(number + 1000))
    hot = events(place, table_ids, 10)
    place.persist()
    place.write(entry(70_000))

    cold = events(place, table_ids, 10)

    for table in (CPU, DISK):
        wanted = [value for value in values(cold, table) if value < 70_000]
        assert wanted == values(hot, table)
    assert all(sum(b.num_rows for _, b in each.tables) <= 10 for each in (*hot, *cold))
    assert {each.causes for each in cold} <= {(), (7,)}


def test_after_a_restart_with_all_rows_in_files_the_log_has_them(place: Place) -> None:
    for number in range(1, 50):
        place.write(entry(number))
    hot = place.backlog.read(10, DATABASE, None, 20, 2**30)
    place.restart()

    cold = place.backlog.read(10, DATABASE, None, 20, 2**30)

    assert (cold.start, cold.end) == (10, hot.end)
    assert values([cold], CPU) == values([hot], CPU)


def test_after_such_a_restart_a_table_without_rows_is_read_to_the_end(place: Place) -> None:
    for number in range(1, 9):
        place.write(entry(number))
    place.restart()

    found = place.backlog.read(3, DATABASE, frozenset(), 20, 2**30)

    assert found == Found(3, place.log.next_sequence, (), ())


def test_a_range_is_read_again_exactly(place: Place) -> None:
    for number in range(1, 50):
        place.write(entry(number))
    hot = place.backlog.read_exactly(10, 40, DATABASE, None)
    place.persist()

    cold = place.backlog.read_exactly(10, 40, DATABASE, None)

    assert (cold.start, cold.end) == (hot.start, hot.end) == (10, 40)
    assert values([cold], CPU) == values([hot], CPU)
    assert values([cold], DISK) == values([hot], DISK)


def test_of_entries_that_are_not_kept_any_more_it_is_told_where_the_others_begin(
    place: Place,
) -> None:
    for number in range(1, 400):
        place.write(entry(number))
    place.persist()
    place.log.drop_before(200)
    first = place.log.first_sequence

    found = place.backlog.read(5, DATABASE, None, 10, 2**30)

    assert 5 < first <= 200
    assert found.start == first
    assert found.end > first


def test_rows_of_tables_that_are_gone_are_passed_over(place: Place) -> None:
    place.write(WriteEntry(Client(), DATABASE, (), None, (TableRows(DATABASE, GONE, rows(1)),)))
    place.write(entry(1))

    found = place.backlog.read(1, DATABASE, None, 10, 2**30)

    assert [table_id for table_id, _ in found.tables] == [CPU]


def test_a_long_stretch_without_a_row_is_read_in_steps(place: Place) -> None:
    for _ in range(300):
        place.write(WriteEntry(Client(), OTHER, (), None, (TableRows(OTHER, GONE, rows(1)),)))
    place.write(entry(3))
    place.persist()

    found = events(place, frozenset((DISK,)), 10)

    assert len(found) == 2
    assert values(found, DISK) == [3]


def test_rows_are_counted_without_being_read(place: Place) -> None:
    for number in range(1, 10):
        place.write(entry(number))

    whole = place.backlog.count(0, 100, DATABASE, None)
    part = place.backlog.count(3, 6, DATABASE, frozenset((DISK,)))

    assert whole == Count(9, 21)
    assert part == Count(1, 1)


def test_arrivals_are_told_from_the_log_after_a_restart(place: Place) -> None:
    for number in range(1, 400):
        place.write(entry(number))
    place.log.drop_before(200)
    arrivals = Arrivals()
    arrivals.watch(DATABASE)

    recount(arrivals, place.log, 5)

    kept = place.backlog.count(0, 10_000, DATABASE, frozenset((CPU,)))
    assert arrivals.since(CPU, 0) == kept
    assert 0 < kept.events < 399


def test_an_entry_that_comes_while_an_empty_buffer_is_asked_is_not_passed_over(
    place: Place,
) -> None:
    for number in range(1, 9):
        place.write(entry(number))
    position, buffer = place.log.next_sequence - 1, HotBuffer()  # as after a restart

    def written_meanwhile() -> int:
        buffer.append(place.log.append([entry(3)]), [entry(3)])
        return place.log.next_sequence

    backlog = Backlog(buffer, place.log, lambda: CATALOG, written_meanwhile)
    found = backlog.read(position, DATABASE, frozenset((DISK,)), 20, 2**30)

    assert values([found], DISK) == [3]
