from __future__ import annotations

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from engine.ingest.internal import DeadLetter
from engine.model.entry import Position
from engine.model.event import TableBatch, WalEvent
from engine.workers.inbox import Redriven
from engine.workers.nudge import Nudge
from engine.workers.wal_inbox import LogSlice, WalInbox

ROWS = pa.record_batch({"v": [1.0]})


def wal_inbox(entries: dict[int, LogSlice], loops: list[tuple[int, ...]]) -> WalInbox:
    return WalInbox(
        Position(1),
        lambda position, _until: entries[position],
        Nudge(),
        max_causes=16,
        on_loop=loops.append,
    )


def rows_until(end: int, causes: tuple[int, ...] = ()) -> LogSlice:
    return LogSlice(end, (TableBatch(7, "cpu", ROWS),), causes)


def test_an_announcement_that_comes_late_takes_nothing_back() -> None:
    inbox = wal_inbox({1: rows_until(3)}, [])
    inbox.announce(3)
    inbox.announce(1)

    assert isinstance(inbox.take(), WalEvent)


def test_nothing_is_given_before_an_announcement() -> None:
    inbox = wal_inbox({1: rows_until(3)}, [])

    assert inbox.take() is None


def test_entries_without_matching_rows_are_skipped() -> None:
    inbox = wal_inbox({1: LogSlice(4, (), ()), 4: rows_until(6)}, [])
    inbox.announce(6)

    event = inbox.take()

    assert isinstance(event, WalEvent)
    assert (event.start, event.end) == (4, 6)
    assert inbox.progress_after(event) == Position(6)


def test_an_event_is_given_to_one_lane_only_and_what_is_in_hand_is_not_done() -> None:
    inbox = wal_inbox({1: rows_until(3), 3: rows_until(5)}, [])
    inbox.announce(5)

    first, second, third = inbox.take(), inbox.take(), inbox.take()

    assert isinstance(first, WalEvent)
    assert isinstance(second, WalEvent)
    assert third is None
    assert inbox.progress_after(second) == Position(1, ((3, 5),))
    inbox.done(second)
    assert inbox.position == 1
    assert inbox.progress_after(first) == Position(3)
    inbox.done(first)
    assert inbox.position == 5


def test_a_chain_of_runs_that_feed_each_other_is_cut_and_reported() -> None:
    loops: list[tuple[int, ...]] = []
    chain = tuple(range(17))
    inbox = wal_inbox({1: rows_until(3, chain), 3: rows_until(5)}, loops)
    inbox.announce(5)

    event = inbox.take()

    assert loops == [chain]
    assert isinstance(event, WalEvent)
    assert event.start == 3


def test_an_event_that_is_asked_for_again_comes_first_and_moves_nothing() -> None:
    inbox = wal_inbox({1: rows_until(3)}, [])
    inbox.announce(3)
    redriven = Redriven(WalEvent(1, 2, (), ()), DeadLetter(1, "db", "t", "x", "open"))
    inbox.redrive(redriven)

    first, second = inbox.take(), inbox.take()

    assert first == redriven
    assert isinstance(second, WalEvent)
    assert inbox.progress_after(redriven) is None


def read_one_by_one(position: int, until: int | None) -> LogSlice:
    return rows_until(min(position + 2, until or position + 2))


@given(st.data())
def test_after_an_end_at_any_moment_exactly_the_unfinished_entries_come_again(
    data: st.DataObject,
) -> None:
    durable = Position(1)
    seen: list[int] = []
    for _ in range(3):
        inbox = WalInbox(
            durable, read_one_by_one, Nudge(), max_causes=16, on_loop=lambda _causes: None
        )
        inbox.announce(20)
        in_hand: list[WalEvent] = []
        for _ in range(data.draw(st.integers(0, 12))):
            if in_hand and data.draw(st.booleans()):
                event = in_hand.pop(data.draw(st.integers(0, len(in_hand) - 1)))
                progress = inbox.progress_after(event)
                assert isinstance(progress, Position)
                durable = durable.joined(progress)
                inbox.done(event)
                seen += range(event.start, event.end)
            elif len(in_hand) < 4 and isinstance(event := inbox.take(), WalEvent):
                in_hand.append(event)

    last = WalInbox(durable, read_one_by_one, Nudge(), max_causes=16, on_loop=lambda _causes: None)
    last.announce(20)
    while isinstance(event := last.take(), WalEvent):
        seen += range(event.start, event.end)

    assert sorted(seen) == list(range(1, 20)) or sorted(seen) == list(range(1, 21))
