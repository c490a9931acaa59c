from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import InvalidParameter
from engine.model.catch_up import CatchUp, Turn, next_turn, parse_catch_up
from engine.model.schedule import next_fire
from engine.model.spec import CronSpec, EverySpec

S = 1_000_000_000
EVERY_10_S = EverySpec(10 * S)


@pytest.mark.parametrize(
    ("catch_up", "done", "missed_until", "due", "tick", "dropped"),
    [
        # nothing is due
        (CatchUp.SKIP, 10, 10, 10, None, 0),
        (CatchUp.ONE, 10, 15, 19, None, 0),
        (CatchUp.ALL, 10, 10, 19, None, 0),
        # one tick in time
        (CatchUp.SKIP, 10, 10, 20, 20, 0),
        (CatchUp.ONE, 10, 10, 20, 20, 0),
        (CatchUp.ALL, 10, 10, 20, 20, 0),
        # one missed tick
        (CatchUp.SKIP, 10, 20, 20, None, 1),
        (CatchUp.ONE, 10, 20, 20, 20, 0),
        (CatchUp.ALL, 10, 20, 20, 20, 0),
        # five missed ticks, and the time has gone on
        (CatchUp.SKIP, 10, 65, 65, None, 5),
        (CatchUp.ONE, 10, 65, 65, 60, 4),
        (CatchUp.ALL, 10, 65, 65, 20, 0),
        # five missed ticks and one in time
        (CatchUp.SKIP, 10, 65, 70, 70, 5),
        (CatchUp.ONE, 10, 65, 70, 70, 5),
        (CatchUp.ALL, 10, 65, 70, 20, 0),
        # the clock was set back
        (CatchUp.SKIP, 100, 60, 60, None, 0),
        (CatchUp.ONE, 100, 60, 60, None, 0),
        (CatchUp.ALL, 100, 60, 60, None, 0),
    ],
)
def test_the_policy_chooses_among_the_ticks_that_are_due(
    catch_up: CatchUp, done: int, missed_until: int, due: int, tick: int | None, dropped: int
) -> None:
    turn = next_turn(
        EVERY_10_S, catch_up, done_ns=done * S, missed_until_ns=missed_until * S, due_ns=due * S
    )

    assert turn.tick_ns == (None if tick is None else tick * S)
    assert turn.dropped == dropped


SPECS = st.sampled_from(
    [
        EVERY_10_S,
        EverySpec(7 * S + 1_000_000),
        CronSpec("*/20 * * * * *"),
        CronSpec("5,50 * 0-3 * * *"),
        CronSpec("0 0 0 1 1 * 2020"),
    ]
)
MOMENTS = st.tuples(*[st.integers(0, 3000 * S)] * 3)


def turns(
    spec: CronSpec | EverySpec, catch_up: CatchUp, done_ns: int, missed_until_ns: int, due_ns: int
) -> list[Turn]:
    """Take turns, each run being over at once, until nothing is due."""
    taken = []
    while True:
        turn = next_turn(
            spec, catch_up, done_ns=done_ns, missed_until_ns=missed_until_ns, due_ns=due_ns
        )
        taken.append(turn)
        if turn.tick_ns is None:
            return taken
        assert turn.tick_ns == next_fire(spec, turn.done_ns)
        done_ns = turn.tick_ns


@given(SPECS, st.sampled_from(CatchUp), MOMENTS)
def test_every_due_tick_is_either_run_or_counted_as_dropped(
    spec: CronSpec | EverySpec, catch_up: CatchUp, moments: tuple[int, int, int]
) -> None:
    done_ns, missed_until_ns, due_ns = moments
    fires = []
    at_ns = next_fire(spec, done_ns)
    while at_ns is not None and at_ns <= due_ns:
        fires.append(at_ns)
        at_ns = next_fire(spec, at_ns)

    taken = turns(spec, catch_up, done_ns, missed_until_ns, due_ns)
    run = [turn.tick_ns for turn in taken if turn.tick_ns is not None]
    newest, in_time = fires[-1:], [fire for fire in fires if fire > missed_until_ns]

    assert len(run) + sum(turn.dropped for turn in taken) == len(fires)
    assert run == {CatchUp.SKIP: in_time[-1:], CatchUp.ONE: newest, CatchUp.ALL: fires}[catch_up]


@pytest.mark.parametrize("catch_up", CatchUp)
def test_names_are_read_in_any_case(catch_up: CatchUp) -> None:
    assert parse_catch_up(f" {catch_up.name} ") is catch_up


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(InvalidParameter, match="unknown catch-up 'some'; use skip, one or all"):
        parse_catch_up("some")
