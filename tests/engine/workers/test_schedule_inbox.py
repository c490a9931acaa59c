from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.ingest.internal import DeadLetter
from engine.model.entry import Ticks
from engine.model.event import ScheduledEvent
from engine.model.trigger import CatchUp, EverySpec
from engine.workers.inbox import Redriven
from engine.workers.nudge import Nudge
from engine.workers.schedule_inbox import ScheduleInbox

SECOND_NS = 1_000_000_000
HOUR_NS = 3600 * SECOND_NS


def _never(ticks: Ticks) -> None:
    raise AssertionError(ticks)


def schedule_inbox(catch_up: CatchUp, done_s: int, now_s: int) -> tuple[ScheduleInbox, list[int]]:
    dropped: list[int] = []
    inbox = ScheduleInbox(
        EverySpec(SECOND_NS),
        catch_up,
        Nudge(),
        done=Ticks(done_s * SECOND_NS),
        now_ns=now_s * SECOND_NS,
        on_dropped=lambda turn: dropped.append(turn.dropped),
        begin_anew=_never,
    )
    return inbox, dropped


def take_all(inbox: ScheduleInbox) -> list[int]:
    ticks = []
    while (event := inbox.take()) is not None:
        assert isinstance(event, ScheduledEvent)
        assert inbox.progress_after(event) == Ticks(event.time_ns)
        ticks.append(event.time_ns // SECOND_NS)
        inbox.done(event)
    return ticks


@pytest.mark.parametrize(
    ("catch_up", "ticks", "dropped"),
    [
        (CatchUp.SKIP, [], [3]),
        (CatchUp.ONE, [13], [2]),
        (CatchUp.ALL, [11, 12, 13], []),
    ],
)
def test_ticks_that_fell_due_while_the_server_was_down_follow_the_policy(
    catch_up: CatchUp, ticks: list[int], dropped: list[int]
) -> None:
    inbox, counts = schedule_inbox(catch_up, 10, 13)
    inbox.announce(13 * SECOND_NS)

    assert take_all(inbox) == ticks
    assert counts == dropped

    inbox.announce(14 * SECOND_NS)

    assert take_all(inbox) == [14]
    assert counts == dropped


@pytest.mark.parametrize(
    ("catch_up", "ticks", "dropped"),
    [
        (CatchUp.SKIP, [], [3]),
        (CatchUp.ONE, [14], [2]),
        (CatchUp.ALL, [12, 13, 14], []),
    ],
)
def test_ticks_that_a_run_overran_follow_the_policy(
    catch_up: CatchUp, ticks: list[int], dropped: list[int]
) -> None:
    inbox, counts = schedule_inbox(catch_up, 10, 10)
    inbox.announce(11 * SECOND_NS)
    running = inbox.take()
    inbox.announce(14 * SECOND_NS)
    assert running == ScheduledEvent(11 * SECOND_NS)
    inbox.done(running)

    assert take_all(inbox) == ticks
    assert counts == dropped


@pytest.mark.parametrize("catch_up", CatchUp)
def test_a_trigger_without_a_recorded_tick_has_missed_nothing(catch_up: CatchUp) -> None:
    inbox, dropped = schedule_inbox(catch_up, 10, 10)
    inbox.announce(10 * SECOND_NS)

    assert take_all(inbox) == []
    assert dropped == []


def test_a_gap_is_told_once() -> None:
    inbox, dropped = schedule_inbox(CatchUp.ONE, 10, 13)
    inbox.announce(13 * SECOND_NS)

    assert inbox.take() == ScheduledEvent(13 * SECOND_NS)
    assert inbox.take() is None
    assert dropped == [2]


def test_a_tick_is_given_to_one_lane_only() -> None:
    inbox, _ = schedule_inbox(CatchUp.ALL, 10, 10)
    inbox.announce(12 * SECOND_NS)

    taken = [inbox.take(), inbox.take(), inbox.take()]

    assert taken == [ScheduledEvent(11 * SECOND_NS), ScheduledEvent(12 * SECOND_NS), None]


def test_a_tick_that_is_asked_for_again_comes_first_and_moves_nothing() -> None:
    inbox, _ = schedule_inbox(CatchUp.ALL, 10, 10)
    inbox.announce(11 * SECOND_NS)
    letter = DeadLetter(1, "db", "t", "x", "open")
    redriven = Redriven(ScheduledEvent(5 * SECOND_NS), letter)
    inbox.redrive(redriven)

    first, second = inbox.take(), inbox.take()

    assert (first, second) == (redriven, ScheduledEvent(11 * SECOND_NS))
    assert inbox.progress_after(redriven) is None


def asynchronous(done: Ticks, *open_s: int, catch_up: CatchUp = CatchUp.ALL) -> ScheduleInbox:
    return ScheduleInbox(
        EverySpec(SECOND_NS),
        catch_up,
        Nudge(),
        done=done,
        open_ticks=[tick_s * SECOND_NS for tick_s in open_s],
        now_ns=10 * SECOND_NS,
        on_dropped=lambda _turn: None,
        begin_anew=_never,
    )


def test_a_tick_that_is_still_in_hand_is_not_done_when_a_later_one_is() -> None:
    inbox = asynchronous(Ticks(10 * SECOND_NS))
    inbox.announce(13 * SECOND_NS)
    first, second, third = (inbox.take() for _ in range(3))
    assert isinstance(first, ScheduledEvent)
    assert isinstance(second, ScheduledEvent)
    assert isinstance(third, ScheduledEvent)

    assert inbox.progress_after(second) == Ticks(first.time_ns - 1, (second.time_ns,))
    inbox.done(second)
    assert inbox.progress_after(first) == Ticks(third.time_ns - 1)
    inbox.done(first)
    assert inbox.progress_after(third) == Ticks(third.time_ns)


@pytest.mark.parametrize("catch_up", CatchUp)
def test_after_a_restart_ticks_between_those_that_are_done_are_run_again(catch_up: CatchUp) -> None:
    done = Ticks(11 * SECOND_NS - 1, (12 * SECOND_NS, 14 * SECOND_NS))

    inbox = asynchronous(done, catch_up=catch_up)

    assert inbox.take() == ScheduledEvent(11 * SECOND_NS)
    assert inbox.take() == ScheduledEvent(13 * SECOND_NS)
    assert inbox.take() is None


@pytest.mark.parametrize("catch_up", CatchUp)
def test_a_tick_whose_run_has_written_is_run_again_before_all_others(catch_up: CatchUp) -> None:
    inbox = asynchronous(Ticks(8 * SECOND_NS), 7, 9, catch_up=catch_up)
    inbox.announce(9 * SECOND_NS)

    again = inbox.take()

    assert isinstance(again, ScheduledEvent)
    assert again == ScheduledEvent(9 * SECOND_NS)
    assert inbox.progress_after(again) == Ticks(9 * SECOND_NS)
    assert inbox.take() is None


@given(st.data())
def test_over_ends_at_any_moment_every_tick_is_done_once(data: st.DataObject) -> None:
    durable = Ticks(0)
    seen: list[int] = []

    def finish(inbox: ScheduleInbox, event: ScheduledEvent) -> Ticks:
        progress = inbox.progress_after(event)
        assert isinstance(progress, Ticks)
        inbox.done(event)
        seen.append(event.time_ns // SECOND_NS)
        return durable.joined(progress)

    for round_ in range(3):
        inbox = asynchronous(durable)
        inbox.announce((5 + 5 * round_) * SECOND_NS)
        in_hand: list[ScheduledEvent] = []
        for _ in range(data.draw(st.integers(0, 12))):
            if len(in_hand) == 3 or (in_hand and data.draw(st.booleans())):
                which = data.draw(st.integers(0, len(in_hand) - 1))
                durable = finish(inbox, in_hand.pop(which))
            elif isinstance(event := inbox.take(), ScheduledEvent):
                in_hand.append(event)

    last = asynchronous(durable)
    last.announce(20 * SECOND_NS)
    while isinstance(event := last.take(), ScheduledEvent):
        durable = finish(last, event)
    assert sorted(seen) == list(range(1, 21))
    assert durable == Ticks(20 * SECOND_NS)


@pytest.mark.parametrize("catch_up", CatchUp)
def test_a_clock_set_back_far_begins_the_schedule_anew(catch_up: CatchUp) -> None:
    anew: list[Ticks] = []
    inbox = ScheduleInbox(
        EverySpec(SECOND_NS),
        catch_up,
        Nudge(),
        done=Ticks(9 * HOUR_NS),
        now_ns=9 * HOUR_NS,
        on_dropped=lambda _turn: None,
        begin_anew=anew.append,
    )
    inbox.announce(9 * HOUR_NS + SECOND_NS)
    running = inbox.take()
    assert isinstance(running, ScheduledEvent)
    inbox.announce(HOUR_NS)
    assert inbox.take() is None  # what is in hand is done before, at its own time
    assert inbox.progress_after(running) == Ticks(9 * HOUR_NS + SECOND_NS)
    inbox.done(running)

    first = inbox.take()

    assert anew == [Ticks(HOUR_NS - 1)]
    assert first == ScheduledEvent(HOUR_NS)
    assert inbox.progress_after(first) == Ticks(HOUR_NS)
    inbox.done(first)
    assert inbox.take() is None
    inbox.announce(HOUR_NS + SECOND_NS)
    assert inbox.take() == ScheduledEvent(HOUR_NS + SECOND_NS)
    assert len(anew) == 1


def test_a_clock_set_back_to_no_tick_or_only_a_little_repeats_none() -> None:
    inbox, _ = schedule_inbox(CatchUp.ALL, 7200, 7200)

    for due_ns in (7100 * SECOND_NS, HOUR_NS + 1):
        inbox.announce(due_ns)
        assert inbox.take() is None
