from __future__ import annotations

import pytest

from engine.ingest.internal import DeadLetter
from engine.model.entry import Ticks
from engine.model.event import ScheduledEvent
from engine.model.trigger import CatchUp, EverySpec
from engine.workers.inbox import Redriven
from engine.workers.nudge import Nudge
from engine.workers.schedule_inbox import ScheduleInbox

SECOND_NS = 1_000_000_000


def schedule_inbox(catch_up: CatchUp, done_s: int, now_s: int) -> tuple[ScheduleInbox, list[int]]:
    dropped: list[int] = []
    inbox = ScheduleInbox(
        EverySpec(SECOND_NS),
        catch_up,
        Nudge(),
        done_ns=done_s * SECOND_NS,
        now_ns=now_s * SECOND_NS,
        on_dropped=lambda turn: dropped.append(turn.dropped),
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
