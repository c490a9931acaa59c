from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.model.file import ParquetFile
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


def test_of_many_that_overlap_as_many_become_one_as_the_limit_allows() -> None:
    files = [made(n, n, 1000 + n, 300_000) for n in range(1, 7)]

    assert paths(next_group(files, MAX_ROWS)) == ["1-1", "2-2", "3-3"]


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


_Rows = dict[int, str]


def _merged(files: dict[ParquetFile, _Rows]) -> _Rows:
    read: _Rows = {}
    for file in sorted(files, key=lambda file: file.order):
        read.update(files[file])
    return read


def _written(name: str, order: int, rows: _Rows) -> ParquetFile:
    return ParquetFile(name, len(rows), 0, 0, min(rows), max(rows), order)


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 60), st.sets(st.integers(0, 12), min_size=1, max_size=8)),
        max_size=30,
    ),
    st.integers(2, 40),
)
def test_no_compaction_ever_changes_what_a_merged_read_returns(
    persists: list[tuple[int, set[int]]], max_rows: int
) -> None:
    files: dict[ParquetFile, _Rows] = {}
    for order, (start, times) in enumerate(persists, 1):
        rows = {start + time: f"{order}" for time in times}
        files[_written(f"p{order}", order, rows)] = rows
        expected = _merged(files)
        steps = 0
        while group := next_group(list(files), max_rows):
            steps += 1
            merged = _merged({file: files.pop(file) for file in group})
            assert sum(file.rows for file in group) <= max_rows
            newest = max(file.order for file in group)
            files[_written(f"c{order}-{steps}", newest, merged)] = merged
            assert _merged(files) == expected
            for file in files:
                others = [o for o in files if o.order == file.order and o is not file]
                assert all(o.max_ns < file.min_ns or o.min_ns > file.max_ns for o in others)
        assert next_group(list(files), max_rows) == ()
