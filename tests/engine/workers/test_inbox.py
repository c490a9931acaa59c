from __future__ import annotations

import pyarrow as pa
import pytest

from engine.errors import Busy, Stopping
from engine.model.entry import Position, Tick
from engine.model.event import PluginResponse, RequestEvent, ScheduledEvent, TableBatch, WalEvent
from engine.model.trigger import CatchUp, EverySpec
from engine.workers.inbox import LogSlice, RequestInbox, ScheduleInbox, WalInbox
from engine.workers.nudge import Nudge

SECOND_NS = 1_000_000_000
ROWS = pa.record_batch({"v": [1.0]})


def wal_inbox(entries: dict[int, LogSlice], loops: list[tuple[int, ...]]) -> WalInbox:
    return WalInbox(1, entries.__getitem__, Nudge(), max_causes=16, on_loop=loops.append)


def rows_until(end: int, causes: tuple[int, ...] = ()) -> LogSlice:
    return LogSlice(end, (TableBatch(7, "cpu", ROWS),), causes)


def test_an_announcement_that_comes_late_takes_nothing_back() -> None:
    inbox = wal_inbox({1: rows_until(3)}, [])
    inbox.announce(3)
    inbox.announce(1)

    assert isinstance(inbox.take(), WalEvent)


def test_a_wal_inbox_gives_nothing_before_an_announcement() -> None:
    inbox = wal_inbox({1: rows_until(3)}, [])

    assert inbox.take() is None


def test_a_wal_inbox_skips_entries_without_matching_rows() -> None:
    inbox = wal_inbox({1: LogSlice(4, (), ()), 4: rows_until(6)}, [])
    inbox.announce(6)

    event = inbox.take()

    assert isinstance(event, WalEvent)
    assert (event.start, event.end) == (4, 6)
    assert inbox.progress_after(event) == Position(6)


def test_an_event_that_is_not_done_is_given_again() -> None:
    inbox = wal_inbox({1: rows_until(3)}, [])
    inbox.announce(3)

    first, second = inbox.take(), inbox.take()
    assert first == second
    assert first is not None
    inbox.done(first)

    assert inbox.take() is None


def test_a_chain_of_runs_that_feed_each_other_is_cut_and_reported() -> None:
    loops: list[tuple[int, ...]] = []
    chain = tuple(range(17))
    inbox = wal_inbox({1: rows_until(3, chain), 3: rows_until(5)}, loops)
    inbox.announce(5)

    event = inbox.take()

    assert loops == [chain]
    assert isinstance(event, WalEvent)
    assert event.start == 3


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
        assert inbox.progress_after(event) == Tick(event.time_ns)
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


def test_a_tick_that_is_not_done_is_given_again_and_its_gap_told_once() -> None:
    inbox, dropped = schedule_inbox(CatchUp.ONE, 10, 13)
    inbox.announce(13 * SECOND_NS)

    assert inbox.take() == inbox.take() == ScheduledEvent(13 * SECOND_NS)
    assert dropped == [2]


def request() -> RequestEvent:
    return RequestEvent({}, {}, b"")


def test_requests_are_taken_in_order_and_refused_beyond_the_limit() -> None:
    inbox = RequestInbox(2, Nudge())
    first = inbox.submit(request())
    inbox.submit(request())

    with pytest.raises(Busy):
        inbox.submit(request())
    pending = inbox.take()

    assert pending is not None
    pending.answer.set_result(PluginResponse(200, (), b""))
    assert first.result(0).status == 200


def test_a_request_whose_client_has_gone_is_not_run() -> None:
    inbox = RequestInbox(2, Nudge())
    inbox.submit(request()).cancel()

    assert inbox.take() is None


def test_a_closed_inbox_answers_those_who_wait_and_refuses_those_who_come() -> None:
    inbox = RequestInbox(2, Nudge())
    waiting = inbox.submit(request())

    inbox.close()

    assert isinstance(waiting.exception(0), Stopping)
    with pytest.raises(Stopping):
        inbox.submit(request())
