from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from engine.model.entry import Position, Ticks

RANGES = st.lists(
    st.tuples(st.integers(0, 40), st.integers(1, 5)).map(lambda r: (r[0], r[0] + r[1])), max_size=5
)
POSITIONS = st.builds(
    lambda low, ranges: Position(low).joined(Position(0, tuple(ranges))), st.integers(0, 40), RANGES
)


def done(position: Position) -> set[int]:
    ranges = [(0, position.low), *position.finished]
    return {number for start, end in ranges for number in range(start, end)}


@given(POSITIONS, POSITIONS)
def test_two_positions_together_are_done_with_what_either_is(a: Position, b: Position) -> None:
    together = a.joined(b)

    assert done(together) == done(a) | done(b)
    assert together == b.joined(a)


@given(POSITIONS)
def test_a_position_has_one_form(position: Position) -> None:
    ends = [position.low, *(bound for part in position.finished for bound in part)]

    assert ends == sorted(set(ends))
    assert position.joined(position) == position


def test_the_gap_that_closes_moves_the_low_mark_over_all_that_was_finished() -> None:
    waiting = Position(3, ((5, 8), (9, 12)))

    assert waiting.joined(Position(3, ((3, 5),))) == Position(8, ((9, 12),))


@given(POSITIONS, st.integers(0, 40), st.integers(1, 5))
def test_a_position_covers_what_is_done(position: Position, start: int, count: int) -> None:
    wanted = set(range(start, start + count))

    assert position.covers(start, start + count) == (wanted <= done(position))


TICKS = st.builds(
    lambda low, ticks: Ticks(low).joined(Ticks(low, tuple(ticks))),
    st.integers(0, 20),
    st.lists(st.integers(0, 30), max_size=5),
)


@given(TICKS, TICKS, st.integers(0, 31))
def test_ticks_together_cover_what_either_does(a: Ticks, b: Ticks, tick: int) -> None:
    together = a.joined(b)

    assert together.covers(tick) == (a.covers(tick) or b.covers(tick))
    assert together == b.joined(a)
    assert together.joined(a) == together
