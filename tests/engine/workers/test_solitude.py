from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from engine.workers.solitude import Solitude


def solitude() -> Solitude:
    return Solitude(lambda: None)


def test_without_suspects_all_run_at_once_and_a_death_alone_is_ones_own() -> None:
    lanes = solitude()
    assert all(lanes.enter(lane) for lane in range(3))
    for lane in range(2):
        lanes.leave(lane)

    assert not lanes.die(2)
    assert lanes.enter(0)


def test_after_a_shared_death_each_runs_alone_and_the_others_wait() -> None:
    lanes = solitude()
    for lane in (0, 1):
        lanes.enter(lane)
    assert [lanes.die(0), lanes.die(1)] == [True, True]

    assert not lanes.enter(2)
    assert lanes.enter(1)
    assert not lanes.enter(0)
    assert not lanes.die(1)
    assert lanes.enter(0)
    lanes.leave(0)
    assert not lanes.enter(2)
    assert lanes.enter(1)
    lanes.leave(1)

    assert all(lanes.enter(lane) for lane in range(3))


def test_who_has_not_seen_the_death_yet_keeps_the_suspects_waiting() -> None:
    lanes = solitude()
    for lane in (0, 1):
        lanes.enter(lane)
    lanes.die(0)

    assert not lanes.enter(0)
    lanes.leave(1)  # its result had come before the end
    assert lanes.enter(0)


def test_a_run_that_is_broken_off_stays_suspect() -> None:
    lanes = solitude()
    for lane in (0, 1):
        lanes.enter(lane)
        lanes.die(lane) if lane else None
    lanes.die(0)

    assert lanes.enter(0)
    lanes.interrupt(0)

    assert lanes.enter(1)
    assert not lanes.enter(2)


def test_those_who_wait_are_told_of_each_change() -> None:
    told: list[int] = []
    lanes = Solitude(lambda: told.append(1))
    lanes.enter(0)
    lanes.leave(0)
    lanes.enter(0)
    lanes.die(0)
    lanes.interrupt(0)

    assert len(told) == 3


@given(st.data())
def test_only_the_poison_event_is_ever_blamed(data: st.DataObject) -> None:
    poison = data.draw(st.sets(st.integers(0, 3), min_size=1, max_size=2))
    lanes = solitude()
    deaths = dict.fromkeys(range(4), 0)
    waiting, running = set(range(4)), set()
    while waiting or running:
        for lane in data.draw(st.permutations(sorted(waiting))):
            if lanes.enter(lane):
                waiting.discard(lane)
                running.add(lane)
        assert running  # nobody waits for ever
        if running & poison and (data.draw(st.booleans()) or running <= poison):
            for lane in sorted(running):
                deaths[lane] += not lanes.die(lane)
                given_up = deaths[lane] == 3
                if given_up:
                    lanes.leave(lane)
                else:
                    waiting.add(lane)
            running = set()
        elif harmless := sorted(running - poison):
            lane = data.draw(st.sampled_from(harmless))
            lanes.leave(lane)
            running.discard(lane)

    assert {lane for lane, count in deaths.items() if count} <= poison
    assert all(deaths[lane] == 3 for lane in poison)
