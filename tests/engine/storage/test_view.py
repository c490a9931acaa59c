from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.model.schema import Column, ColumnType, TableSchema
from engine.storage import pieces, view
from engine.storage.row_space import RowSpace
from engine.storage.view import MergedView

SCHEMA = TableSchema((Column("host", ColumnType.TAG), Column("value", ColumnType.INTEGER)))
Point = tuple[str | None, int]


@pytest.fixture(autouse=True, scope="module")
def small_pieces() -> Iterator[None]:
    """Make the sizes small, so that few rows meet every way of splitting and joining."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pieces, "PIECE_ROWS", 8)
        patch.setattr(pieces, "_SPARE_VALUES", 0)
        patch.setattr(view, "PIECE_ROWS", 8)
        patch.setattr(view, "_CUT_ROWS", 2)
        patch.setattr(view, "_SPARE_PIECES", 3)
        yield


def batch(points: list[Point], first_value: int) -> pa.RecordBatch:
    values = range(first_value, first_value + len(points))
    return pa.RecordBatch.from_arrays(
        [
            pa.array([host for host, _ in points], pa.utf8()).dictionary_encode(),
            pa.array(values, pa.int64()),
            pa.array([time for _, time in points], pa.timestamp("ns")),
        ],
        names=["host", "value", "time"],
    )


def times_of(rows: pa.RecordBatch) -> list[int]:
    return rows.column("time").cast(pa.int64()).to_pylist()  # type: ignore[no-any-return]


def points_of(batches: tuple[pa.RecordBatch, ...]) -> list[tuple[Point, int]]:
    return [
        ((host, time), value)
        for rows in batches
        for host, value, time in zip(
            rows.column("host").to_pylist(),
            rows.column("value").to_pylist(),
            times_of(rows),
            strict=True,
        )
    ]


points = st.tuples(st.sampled_from([None, "a", "b"]), st.integers(0, 60))


@settings(deadline=None, max_examples=120)
@given(st.lists(st.tuples(st.lists(points, min_size=1, max_size=25), st.booleans()), max_size=15))
def test_pieces_split_and_joined_hold_the_last_value_of_each_point(
    writes: list[tuple[list[Point], bool]],
) -> None:
    rows, shown, expected = RowSpace(), MergedView(), {}
    for written, is_asked in writes:
        expected.update({point: rows.end + i for i, point in enumerate(written)})
        rows.append(batch(written, rows.end))
        if is_asked:
            shown.batches(rows.chunks, rows.end, SCHEMA)

    batches = shown.batches(rows.chunks, rows.end, SCHEMA)

    found = points_of(batches)
    assert dict(found) == expected
    assert len(found) == len(expected)
    ends = [t for b in batches for t in (times_of(b)[0], times_of(b)[-1])]
    assert ends == sorted(ends)
    assert len({tuple(times_of(b)[:1]) for b in batches}) == len(batches)


def test_points_of_one_time_stay_in_one_piece() -> None:
    rows, shown = RowSpace(), MergedView()
    rows.append(batch([(f"h{i}", 5) for i in range(30)] + [("a", 6)], 0))

    batches = shown.batches(rows.chunks, rows.end, SCHEMA)

    assert [b.num_rows for b in batches] == [30, 1]


def test_scattered_rows_do_not_leave_ever_more_pieces() -> None:
    rows, shown = RowSpace(), MergedView()
    for step in range(200):
        rows.append(batch([("a", step * 37 % 200)], step))
        shown.batches(rows.chunks, rows.end, SCHEMA)

    batches = shown.batches(rows.chunks, rows.end, SCHEMA)

    assert sum(b.num_rows for b in batches) == 200
    assert len(batches) <= 2 * (200 // 8) + 3


def test_later_reader_of_an_earlier_state_gets_the_newer_view() -> None:
    rows, shown = RowSpace(), MergedView()
    rows.append(batch([("a", 1)], 0))
    early, early_end = rows.chunks, rows.end
    rows.append(batch([("a", 2)], 1))
    newer = shown.batches(rows.chunks, rows.end, SCHEMA)

    assert shown.batches(early, early_end, SCHEMA) is newer


def test_a_tag_of_its_own_for_each_row_does_not_spread_over_all_pieces() -> None:
    space, merged = RowSpace(), MergedView()
    for number in range(40):
        times = [(number * 7 + step * 31) % 97 for step in range(4)]
        space.append(batch([(f"{number}-{time}", time) for time in times], number * 4))
        shown = merged.batches(space.chunks, space.end, SCHEMA)

    values = [len(rows.column("host").dictionary) for rows in shown]
    assert sum(rows.num_rows for rows in shown) == 160
    assert max(values) <= 4 * pieces.PIECE_ROWS
    assert {host for (host, _), _ in points_of(shown)} == {
        host for rows in space.chunks for host in rows.rows.column("host").to_pylist()
    }
