from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.model.file import ParquetFile
from engine.upkeep.overlaps import STEP_PARTS, cut_times, overlap_group
from engine.upkeep.planning import MAX_ROWS, file_bounds, next_group, rows_limit


def made(order: int, low: int, high: int, rows: int = 100, name: str = "") -> ParquetFile:
    return ParquetFile(name or f"{order}-{low}", rows, rows * 10, 0, low, high, order)


def paths(files: Sequence[ParquetFile]) -> list[str]:
    return [file.path for file in files]


def test_four_small_neighbours_become_one() -> None:
    files = [made(n, 100 * n, 100 * n + 99) for n in range(1, 5)]

    assert next_group(files[:3], MAX_ROWS) == ()
    assert paths(next_group(files[::-1], MAX_ROWS)) == paths(files)


def test_neighbours_of_different_sizes_wait_for_others_of_their_size() -> None:
    files = [made(n, 100 * n, 100 * n + 99, rows=(300_000 if n == 1 else 100)) for n in range(1, 5)]

    assert next_group(files, MAX_ROWS) == ()


def test_files_that_have_their_size_are_left_alone() -> None:
    assert next_group([made(n, 100 * n, 100 * n + 99, 900_000) for n in range(20)], MAX_ROWS) == ()


def test_a_slight_overlap_at_the_seam_is_left_alone() -> None:
    files = [made(1, 0, 1000, 900_000), made(2, 950, 2000, 900_000)]

    assert next_group(files, 2 * MAX_ROWS) == ()


def test_files_that_cover_the_same_time_become_one() -> None:
    files = [made(1, 0, 1000, 400_000), made(2, 500, 1500, 400_000), made(3, 9000, 9999, 400_000)]

    assert paths(next_group(files, MAX_ROWS)) == ["1-0", "2-500"]


def test_a_large_file_is_not_written_again_for_a_few_rows() -> None:
    files = [made(1, 0, 1000, 900_000), made(2, 500, 1500, 1000)]

    assert next_group(files, MAX_ROWS) == ()


def test_of_many_that_overlap_as_many_become_one_as_a_step_may_take() -> None:
    files = [made(n, n, 1000 + n, MAX_ROWS) for n in range(1, 21)]

    assert [file.order for file in next_group(files, MAX_ROWS)] == list(range(1, 9))


def test_barred_files_are_left_alone_and_others_go_on() -> None:
    files = [made(n, 100 * n, 100 * n + 99) for n in range(1, 10)]
    over = [made(20 + n, 5000, 6000, 400_000) for n in range(3)]

    assert paths(next_group(files, MAX_ROWS, {"5-500"})) == paths(files[:4])
    assert paths(next_group(files, MAX_ROWS, {"2-200", "6-600"})) == []
    assert paths(next_group(over, MAX_ROWS, {over[2].path})) == paths(over[:2])
    assert next_group(over, MAX_ROWS, {over[1].path}) == ()


def test_what_stands_between_the_ages_of_a_group_belongs_to_it() -> None:
    files = [made(n, 100 * n, 100 * n + 99, name=str(n)) for n in (1, 2, 8, 9)]
    between = made(5, 0, 10_000, 200_000, name="between")

    assert paths(next_group([*files, between], MAX_ROWS)) == ["1", "2", "between", "8", "9"]
    assert next_group([*files, made(5, 0, 10_000, MAX_ROWS)], MAX_ROWS) == ()
    assert len(next_group([*files, made(10, 0, 10_000, MAX_ROWS)], MAX_ROWS)) == 4


def test_wide_tables_have_smaller_groups() -> None:
    assert (rows_limit(3), rows_limit(80), rows_limit(10**9)) == (MAX_ROWS, 100_000, 1)


@pytest.mark.parametrize(
    ("time", "max_rows", "expected"),
    [
        ([1, 2, 3], 3, [(0, 3)]),
        ([1, 2, 3, 4], 2, [(0, 2), (2, 4)]),
        ([1, 1, 1, 2], 2, [(0, 4)]),
        ([1, 2, 2, 2, 2, 3], 2, [(0, 1), (1, 6)]),
    ],
)
def test_rows_are_cut_where_the_time_changes(
    time: list[int], max_rows: int, expected: list[tuple[int, int]]
) -> None:
    assert file_bounds(np.array(time, dtype=np.int64), max_rows) == expected


@given(st.lists(st.integers(0, 20), min_size=1, max_size=60).map(sorted), st.integers(1, 10))
def test_cuts_lose_nothing_and_never_part_equal_times(time: list[int], max_rows: int) -> None:
    bounds = file_bounds(np.array(time, dtype=np.int64), max_rows)

    assert [n for start, end in bounds for n in range(start, end)] == list(range(len(time)))
    assert all(time[start - 1] < time[start] for start, _ in bounds[1:])


def test_slices_are_even_and_cut_where_files_beside_them_begin_or_end() -> None:
    time = np.arange(100, dtype=np.int64)

    assert cut_times(time, 100, []) == []
    assert cut_times(time, 40, []) == [33, 66]
    assert cut_times(time, 40, [made(1, 0, 29), made(1, 30, 69), made(1, 70, 99)]) == [30, 70]
    assert cut_times(time, 40, [made(1, 0, 2), made(1, 3, 99)]) == [33, 66]


def test_rows_of_one_time_are_never_cut() -> None:
    time = np.array([1, 1, 1, 1, 2, 3, 3, 3, 3, 3], dtype=np.int64)

    assert cut_times(time, 2, []) == [2, 3]
    assert cut_times(np.full(9, 5, dtype=np.int64), 2, []) == []


def test_sets_over_the_same_time_are_put_together_in_each_part_of_it_later() -> None:
    random = np.random.default_rng(1)
    files: _Files = {}
    for order in range(1, 25):
        times = random.choice(100_000, 200, replace=False).tolist()
        rows = dict.fromkeys(map(int, times), f"{order}")
        files[_written(f"p{order}", order, rows)] = rows
    expected, written, steps = _merged(files), 0, 0

    while group := next_group(list(files), 200):
        steps += 1
        written += sum(file.rows for file in group)
        files = _step(files, group, 200, f"c{steps}")

    assert _merged(files) == expected
    assert sum(file.rows for file in files if file.order == 24) < 24 * 200 / 9
    assert sum(a.max_ns >= b.min_ns for a, b in pairwise(_by_time(files, below=24))) == 0
    assert written < 3 * 24 * 200


@pytest.mark.parametrize(("end", "step"), [(32_000, 300), (6000, 50)])
def test_a_chain_of_slight_overlaps_does_not_keep_what_lies_over_it(end: int, step: int) -> None:
    files: _Files = {}
    for order in range(1, 31):
        rows = dict.fromkeys(range(1000 * order, 1000 * order + 1050, 10), f"{order}")
        files[_written(f"p{order}", order, rows)] = rows
    assert next_group(list(files), 105) == ()
    for order in range(31, 41):
        rows = dict.fromkeys(range(1000 + order, end, step), f"{order}")
        files[_written(f"p{order}", order, rows)] = rows
    expected, before, steps = _merged(files), _contested(files), 0

    while group := next_group(list(files), 105):
        steps += 1
        files = _step(files, group, 105, f"c{steps}")

    assert _merged(files) == expected
    assert _contested(files) < before / 20


_Rows = dict[int, str]
_near = st.builds(
    lambda start, times: {start + time for time in times},
    st.integers(0, 60),
    st.sets(st.integers(0, 40), min_size=1, max_size=8),
)
_chained = st.builds(lambda n: range(10 * n, 10 * n + 12), st.integers(0, 12))
_spread = st.builds(
    lambda start, step: range(start, 130, step), st.integers(0, 90), st.integers(3, 30)
)
_persists = st.lists(st.one_of(_near, _chained, _spread), max_size=30)
_Files = dict[ParquetFile, _Rows]


def _merged(files: _Files) -> _Rows:
    read: _Rows = {}
    for file in sorted(files, key=lambda file: file.order):
        read.update(files[file])
    return read


def _written(name: str, order: int, rows: _Rows) -> ParquetFile:
    return ParquetFile(name, len(rows), 0, 0, min(rows), max(rows), order)


def _step(files: _Files, group: Sequence[ParquetFile], max_rows: int, name: str) -> _Files:
    """Do what a compaction does: return the files after it."""
    inputs = {file: files[file] for file in group}
    after = {file: rows for file, rows in files.items() if file not in inputs}
    time = np.array(sorted(time for rows in inputs.values() for time in rows), dtype=np.int64)
    cuts = cut_times(time, max_rows, list(after))
    rows = _merged(inputs)
    for n, (low, high) in enumerate(pairwise([-1, *cuts, 10**9])):
        part = {time: value for time, value in rows.items() if low <= time < high}
        after[_written(f"{name}-{n}", max(file.order for file in group), part)] = part
    return after


def _by_time(files: _Files, below: int) -> list[ParquetFile]:
    return sorted((f for f in files if f.order < below), key=lambda file: file.min_ns)


def _contested(files: _Files) -> int:
    """Count, for each row, the other files that cover its time."""
    return sum(
        sum(other.min_ns <= time <= other.max_ns for other in files) - 1
        for rows in files.values()
        for time in rows
    )


@settings(deadline=None)
@given(
    _persists,
    st.integers(2, 40),
    st.sets(st.integers(1, 30), max_size=1),
)
def test_no_step_ever_changes_what_a_merged_read_returns(
    persists: list[Collection[int]], max_rows: int, damaged: set[int]
) -> None:
    barred = {f"p{order}" for order in damaged}
    files: _Files = {}
    for order, times in enumerate(persists, 1):
        rows = dict.fromkeys(times, f"{order}")
        files[_written(f"p{order}", order, rows)] = rows
        expected = _merged(files)
        steps = 0
        while group := next_group(list(files), max_rows, barred):
            steps += 1
            assert steps < 50
            assert barred.isdisjoint(file.path for file in group)
            assert sum(file.rows for file in group) <= STEP_PARTS * max_rows
            files = _step(files, group, max_rows, f"c{order}-{steps}")
            assert _merged(files) == expected
            for file in files:
                others = [o for o in files if o.order == file.order and o is not file]
                assert all(o.max_ns < file.min_ns or o.min_ns > file.max_ns for o in others)


@settings(deadline=None)
@given(
    _persists,
    st.integers(2, 20),
)
def test_each_step_among_overlapping_files_leaves_fewer_contested_rows(
    persists: list[Collection[int]], max_rows: int
) -> None:
    files: _Files = {}
    for order, times in enumerate(persists, 1):
        rows = dict.fromkeys(times, f"{order}")
        files[_written(f"p{order}", order, rows)] = rows
    steps = 0
    while group := overlap_group(list(files), max_rows):
        steps += 1
        before = _contested(files)
        files = _step(files, group, max_rows, f"c{steps}")
        assert _contested(files) < before
