from __future__ import annotations

from itertools import pairwise

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from engine.model.file import ParquetFile
from engine.query.contest import contests, slices, times_between
from engine.query.memory_times import covered_times
from engine.query.time_range import TimeRange

PAIRS = st.tuples(st.integers(-20, 40), st.integers(0, 15))


def file_of(low: int, span: int, order: int = 1) -> ParquetFile:
    return ParquetFile(f"{order}.parquet", span + 1, 1, 1, low, low + span, order)


def covers(times: TimeRange, time_ns: int) -> bool:
    return times.low_ns <= time_ns <= times.high_ns


@given(files=st.lists(PAIRS, max_size=6), memory=st.lists(st.integers(-20, 40), max_size=6))
def test_a_time_is_contested_when_two_sources_cover_it(
    files: list[tuple[int, int]], memory: list[int]
) -> None:
    found_files = [file_of(low, span, n) for n, (low, span) in enumerate(files)]
    in_memory = [TimeRange(t, t) for t in sorted(set(memory))]

    found = contests(found_files, in_memory)

    for time_ns in range(-25, 60):
        within = [f for f in found_files if f.min_ns <= time_ns <= f.max_ns]
        has_memory = time_ns in memory
        here = [contest for contest in found if covers(contest.times, time_ns)]
        assert len(here) == (len(within) + has_memory > 1)
        if here:
            assert set(within) <= set(here[0].files)
            assert here[0].has_memory == has_memory


@given(files=st.lists(PAIRS, min_size=2, max_size=6), max_rows=st.integers(1, 10))
def test_slices_of_a_contest_are_all_of_it_once(
    files: list[tuple[int, int]], max_rows: int
) -> None:
    for contest in contests([file_of(*pair, n) for n, pair in enumerate(files)], []):
        parts = list(slices(contest, max_rows))

        times = [t for part in parts for t in range(part.times.low_ns, part.times.high_ns + 1)]
        assert times == list(range(contest.times.low_ns, contest.times.high_ns + 1))
        assert all(set(part.files) <= set(contest.files) for part in parts)


@given(bounds=PAIRS, files=st.lists(PAIRS, max_size=6))
def test_what_is_left_and_what_is_taken_are_the_whole(
    bounds: tuple[int, int], files: list[tuple[int, int]]
) -> None:
    whole = TimeRange(bounds[0], bounds[0] + bounds[1])
    taken = [c.times for c in contests([file_of(*pair) for pair in files], [])]

    left = list(times_between(whole, taken))

    for time_ns in range(-25, 60):
        is_left = covers(whole, time_ns) and not any(covers(t, time_ns) for t in taken)
        assert sum(covers(times, time_ns) for times in left) == is_left


@given(times=st.lists(st.integers(0, 10**6), min_size=1, max_size=200))
def test_parts_of_rows_in_memory_cover_each_row_and_are_few(times: list[int]) -> None:
    column = pa.array(sorted(times), pa.timestamp("ns"))
    batch = pa.RecordBatch.from_arrays([column], ["time"])

    found = covered_times([batch], [file_of(0, 10**6)])

    assert all(any(covers(part, time_ns) for part in found) for time_ns in times)
    assert len(found) <= 64
    assert all(before.high_ns < after.low_ns for before, after in pairwise(found))


def test_two_late_rows_far_apart_contest_only_their_own_times() -> None:
    column = pa.array([10, 900], pa.timestamp("ns"))
    batch = pa.RecordBatch.from_arrays([column], ["time"])
    files = [file_of(0, 1000)]

    found = contests(files, covered_times([batch], files))

    assert [(c.times.low_ns, c.times.high_ns) for c in found] == [(10, 10), (900, 900)]
