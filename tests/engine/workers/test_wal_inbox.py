from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from engine.ingest.internal import DeadLetter
from engine.model.entry import Position
from engine.model.event import TableBatch, WalEvent
from engine.model.lag import Lag
from engine.workers.inbox import Redriven
from engine.workers.nudge import Nudge
from engine.workers.wal_inbox import LogSlice, Reports, Skip, WalInbox

ROWS = pa.record_batch({"v": [1.0]})


class Reading:
    """Slices by the position that they are asked for at, and what is to be skipped there."""

    def __init__(self, slices: Mapping[int, LogSlice] | None = None) -> None:
        self.slices = dict(slices or {})
        self.skips: dict[int, Skip] = {}
        self.exact: list[tuple[int, int]] = []
        self.counted: list[tuple[int, int]] = []

    def next(self, position: int, until: int | None) -> LogSlice:
        return self.slices[position]

    def exactly(self, start: int, end: int) -> LogSlice:
        self.exact.append((start, end))
        return self.slices.get(start, rows_until(end, start=start))

    def skip(self, position: int) -> Skip | None:
        return self.skips.get(position)

    def rows_in(self, ranges: Sequence[tuple[int, int]]) -> int:
        self.counted += ranges
        return sum(end - start for start, end in ranges)

    def lag(self, undone: Sequence[tuple[int, int]], position: int) -> Lag:
        return Lag(len(undone), position, None)


class Stepping(Reading):
    """Two entries at a time, each with a row."""

    def next(self, position: int, until: int | None) -> LogSlice:
        return rows_until(min(position + 2, until or position + 2), start=position)


@dataclass
class Told:
    """What was reported."""

    loops: list[tuple[int, ...]] = field(default_factory=list)
    skips: list[tuple[int, int, int]] = field(default_factory=list)
    gaps: list[tuple[int, int, int | None]] = field(default_factory=list)

    def reports(self) -> Reports:
        return Reports(
            self.loops.append,
            lambda *skip: self.skips.append(skip),
            lambda *gap: self.gaps.append(gap),
        )


def inbox_at(
    position: Position,
    reading: Reading,
    told: Told | None = None,
    open_ranges: Sequence[tuple[int, int]] = (),
) -> WalInbox:
    return WalInbox(
        position,
        reading,
        Nudge(),
        open_ranges=open_ranges,
        max_causes=16,
        reports=(told or Told()).reports(),
    )


def wal_inbox(slices: dict[int, LogSlice], loops: list[tuple[int, ...]]) -> WalInbox:
    return inbox_at(Position(1), Reading(slices), Told(loops))


def rows_until(end: int, causes: tuple[int, ...] = (), *, start: int | None = None) -> LogSlice:
    return LogSlice(end - 2 if start is None else start, end, (TableBatch(7, "cpu", ROWS),), causes)


def test_an_announcement_that_comes_late_takes_nothing_back() -> None:
    inbox = wal_inbox({1: rows_until(3)}, [])
    inbox.announce(3)
    inbox.announce(1)

    assert isinstance(inbox.take(), WalEvent)


def test_nothing_is_given_before_an_announcement() -> None:
    inbox = wal_inbox({1: rows_until(3)}, [])

    assert inbox.take() is None


def test_entries_without_matching_rows_are_skipped() -> None:
    inbox = wal_inbox({1: LogSlice(1, 4, (), ()), 4: rows_until(6)}, [])
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


@given(st.data())
def test_after_an_end_at_any_moment_exactly_the_unfinished_entries_come_again(
    data: st.DataObject,
) -> None:
    durable = Position(1)
    seen: list[int] = []
    for _ in range(3):
        inbox = inbox_at(durable, Stepping())
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

    last = inbox_at(durable, Stepping())
    last.announce(20)
    while isinstance(event := last.take(), WalEvent):
        seen += range(event.start, event.end)

    assert sorted(seen) == list(range(1, 20)) or sorted(seen) == list(range(1, 21))


def take_event(inbox: WalInbox) -> tuple[int, int] | None:
    event = inbox.take()
    assert event is None or isinstance(event, WalEvent)
    return None if event is None else (event.start, event.end)


def test_events_that_have_written_come_again_first_with_exactly_their_ranges() -> None:
    reading = Stepping()
    inbox = inbox_at(Position(5, ((9, 12),)), reading, open_ranges=[(6, 9), (1, 4), (15, 18)])
    inbox.announce(20)

    taken = [take_event(inbox) for _ in range(7)]

    assert reading.exact == [(6, 9), (15, 18)]
    assert taken == [(6, 9), (15, 18), (5, 6), (12, 14), (14, 15), (18, 20), None]


def test_nothing_below_an_open_event_counts_as_done_before_it_is() -> None:
    inbox = inbox_at(Position(1), Stepping(), open_ranges=[(3, 6), (8, 9)])
    inbox.announce(9)
    first = inbox.take()
    assert isinstance(first, WalEvent)

    assert inbox.position == 1
    assert inbox.progress_after(first) == Position(1, ((3, 6),))
    inbox.done(first)
    second, third = inbox.take(), inbox.take()
    assert isinstance(second, WalEvent)
    assert isinstance(third, WalEvent)
    assert (second.start, third.start) == (8, 1)
    inbox.done(third)
    assert take_event(inbox) == (6, 8)
    assert inbox.position == 6


def test_an_open_event_whose_tables_are_gone_is_passed_over() -> None:
    inbox = inbox_at(Position(1), Reading({1: LogSlice(1, 3, (), ())}), open_ranges=[(1, 3)])
    inbox.announce(3)

    assert inbox.take() is None
    assert inbox.position == 3


def test_rows_that_are_skipped_are_counted_and_passed_with_the_next_event() -> None:
    told = Told()
    reading = Stepping()
    reading.skips[1] = Skip(11, 40)
    inbox = inbox_at(Position(1), reading, told)
    inbox.announce(13)

    event = inbox.take()

    assert isinstance(event, WalEvent)
    assert (event.start, event.end) == (11, 13)
    assert inbox.progress_after(event) == Position(13)
    assert told.skips == [(1, 11, 40)]
    assert inbox.lag().skipped_rows == 40


def test_entries_that_are_not_kept_any_more_are_reported_and_passed() -> None:
    told = Told()
    inbox = inbox_at(Position(1), Reading({1: rows_until(9, start=6)}), told)
    inbox.announce(9)

    assert take_event(inbox) == (6, 9)
    assert told.gaps == [(1, 6, None)]


def test_what_is_going_to_be_dropped_is_counted_and_passed_but_for_what_is_in_hand() -> None:
    told = Told()
    reading = Stepping()
    inbox = inbox_at(Position(1, ((6, 8),)), reading, told, open_ranges=[(9, 14)])
    inbox.announce(30)
    in_hand = inbox.take()
    assert isinstance(in_hand, WalEvent)
    reading.exact.clear()

    assert inbox.give_up_before(12)

    assert reading.counted == [(1, 6), (8, 9)]
    assert told.gaps == [(1, 12, 6)]
    assert inbox.lag().gap_rows == 6
    assert inbox.position == 9
    inbox.done(in_hand)
    assert not inbox.give_up_before(12)
    assert take_event(inbox) == (14, 16)


def test_the_lag_is_that_of_all_that_is_not_done() -> None:
    inbox = inbox_at(Position(1), Stepping(), open_ranges=[(5, 6)])
    inbox.announce(9)
    inbox.take()
    inbox.take()

    assert inbox.lag() == Lag(2, 3, None)


@given(st.data())
def test_open_events_are_seen_exactly_and_all_others_once(data: st.DataObject) -> None:
    cuts = data.draw(st.lists(st.integers(2, 30), unique=True, max_size=8).map(sorted))
    ranges = [(a, b) for a, b in zip([1, *cuts], [*cuts, 31], strict=True)]
    kinds = [data.draw(st.sampled_from(["done", "open", "new"])) for _ in ranges]
    done = Position(1).joined(
        Position(0, tuple(r for r, kind in zip(ranges, kinds, strict=True) if kind == "done"))
    )
    opened = [r for r, kind in zip(ranges, kinds, strict=True) if kind == "open"]
    inbox = inbox_at(done, Stepping(), open_ranges=opened)
    inbox.announce(31)

    taken = []
    while (event := take_event(inbox)) is not None:
        taken.append(event)

    assert taken[: len(opened)] == opened
    finished = [
        n for (a, b), kind in zip(ranges, kinds, strict=True) if kind == "done" for n in range(a, b)
    ]
    seen = [n for a, b in taken for n in range(a, b)]
    assert sorted({n for n in (*finished, *seen) if n < 31}) == list(range(1, 31))
    assert len(seen) == len(set(seen))
    assert not set(seen) & set(finished)
