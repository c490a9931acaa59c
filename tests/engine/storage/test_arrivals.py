from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.model.entry import CheckpointEntry, Client, TableRows, WriteEntry
from engine.storage.arrivals import Arrivals, Count

DATABASE, CPU, DISK = 1, 2, 3


def entry(*tables: tuple[int, int], database: int = DATABASE) -> WriteEntry:
    rows = tuple(TableRows(database, t, pa.record_batch({"time": range(n)})) for t, n in tables)
    return WriteEntry(Client(), database, (), None, rows)


def arrivals(*counts: int) -> Arrivals:
    """Return arrivals of one entry for CPU from each count, at one second each, from entry 1."""
    made = Arrivals()
    made.watch(DATABASE)
    for sequence, rows in enumerate(counts, 1):
        made.note(sequence, [entry((CPU, rows))], sequence * 10**9)
    return made


def test_entries_and_rows_are_counted_by_table_and_by_database() -> None:
    made = Arrivals()
    made.watch(DATABASE)

    made.note(1, [entry((CPU, 3), (DISK, 4)), CheckpointEntry({}, {}, {}, ())], 5)
    made.note(3, [entry((CPU, 5))], 6)

    assert made.since(CPU, 1) == Count(2, 8)
    assert made.since(DISK, 1) == Count(1, 4)
    assert made.since(DATABASE, 1) == Count(2, 12)
    assert made.since(DATABASE, 2) == Count(1, 5)
    assert made.between(DATABASE, 1, 3) == Count(1, 7)
    assert made.since(CPU, 4) == Count(0, 0)
    assert made.since(99, 0) == Count(0, 0)


def test_databases_that_nobody_watches_are_not_counted() -> None:
    made = Arrivals()
    made.note(1, [entry((CPU, 3))], 5)
    made.watch(7)
    made.note(2, [entry((CPU, 3))], 5)
    made.note_counts(3, [(DATABASE, CPU, 3)], 5)

    assert made.since(CPU, 0) == Count(0, 0)


def test_the_age_is_that_of_the_oldest_entry_that_is_not_done() -> None:
    made = arrivals(1, 1, 1)

    assert made.time_of_first(CPU, 1) == 10**9
    assert made.time_of_first(CPU, 3) == 3 * 10**9
    assert made.time_of_first(CPU, 4) is None
    assert made.time_of_first(DISK, 1) is None


@pytest.mark.parametrize(
    ("start", "max_rows", "place"),
    [
        (1, 10, 4),
        (1, 9, 5),
        (1, 19, 4),
        (1, 20, 3),
        (3, 20, None),  # all that waits fits
        (1, 4, None),  # the last entry alone is too large
    ],
)
def test_the_newest_rows_that_fit_are_found(start: int, max_rows: int, place: int | None) -> None:
    made = arrivals(10, 10, 10, 5, 5)

    assert made.place_of_newest(CPU, start, max_rows) == place


def test_counts_of_entries_give_the_same_as_the_entries() -> None:
    made = Arrivals()
    made.watch(DATABASE)

    made.note_counts(4, [(DATABASE, CPU, 2), (DATABASE, DISK, 3), (8, 9, 4)], 7)

    assert made.since(DATABASE, 1) == Count(1, 5)
    assert made.time_of_first(DISK, 1) == 7
    assert made.since(9, 1) == Count(0, 0)


@given(st.lists(st.integers(1, 9), max_size=60), st.integers(0, 62), st.integers(0, 62))
def test_while_there_are_few_entries_every_count_is_exact(
    counts: list[int], start: int, end: int
) -> None:
    made = arrivals(*counts)

    wanted = counts[max(0, start - 1) : max(0, end - 1)]
    assert made.between(CPU, start, end) == Count(len(wanted), sum(wanted))
    waiting = counts[max(0, start - 1) :]
    assert made.since(CPU, start) == Count(len(waiting), sum(waiting))


MANY = arrivals(*([2] * 5000))


@given(st.integers(1, 5001))
def test_over_many_entries_counts_are_near(start: int) -> None:
    found = MANY.since(CPU, start)

    waiting = 5001 - start
    assert found.events == pytest.approx(waiting, rel=0.02, abs=0)
    assert found.rows == pytest.approx(2 * waiting, rel=0.02, abs=0)
    time_ns = MANY.time_of_first(CPU, start)
    if waiting:
        assert time_ns is not None
        age = 5001 - time_ns / 10**9
        assert age == pytest.approx(waiting, rel=0.1, abs=0)


def test_the_number_of_samples_is_bounded() -> None:
    made = arrivals(*([1] * 20_000))

    series = made._series[CPU]  # noqa: SLF001

    assert len(series._sequences) <= 1024  # noqa: SLF001
    assert series.before(20_001) == Count(20_000, 20_000)


def test_counts_are_near_however_unevenly_rows_came() -> None:
    counts = [1000 if n % 97 == 0 else 1 for n in range(20_000)]
    made = arrivals(*counts)

    for start in range(1, 20_000, 333):
        waiting = sum(counts[start - 1 :])
        assert made.since(CPU, start).rows == pytest.approx(waiting, rel=0.1)
