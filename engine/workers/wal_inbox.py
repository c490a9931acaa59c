"""The inbox of a WAL trigger: a position in the log, and what is in the hands of its lanes.

Each commit says which range it has finished and below which entry everything is done; the log joins
these. So it does not matter in which order concurrent runs come to their end, and the ranges that
were not finished are found again after a restart. An event whose run has written synchronously is
delivered with exactly its range again, before all others: the keys of its writes name that range.

Threads: any. `_taking` lets one lane at a time look for its event, which may take a while; `_lock`
guards the fields and is never held meanwhile.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa

from engine.errors import EngineError
from engine.model.entry import Position, Progress
from engine.model.event import TableBatch, WalEvent
from engine.model.lag import Lag
from engine.workers.inbox import Redriven, Work
from engine.workers.nudge import Nudge, Nudges
from engine.workers.redrives import Redrives

__all__ = ["LogSlice", "Reading", "Reports", "Skip", "WalInbox", "table_batches"]

_Range = tuple[int, int]


@dataclass(frozen=True, slots=True)
class LogSlice:
    """Rows of a trigger's tables in the log entries of [start, end).

    `start` is later than what was asked for when the entries between are not kept any more.
    """

    start: int
    end: int
    tables: tuple[TableBatch, ...]
    causes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Skip:
    """Where to go on after rows that are passed over, and how many these are."""

    to: int
    rows: int


class Reading(Protocol):
    """Reads the trigger's rows."""

    def next(self, position: int, until: int | None) -> LogSlice:
        """Return rows of the entries from a position on, before `until` if it is given."""
        ...

    def exactly(self, start: int, end: int) -> LogSlice:
        """Return all rows of the entries [start, end)."""
        ...

    def skip(self, position: int) -> Skip | None:
        """Return what is to be passed over because the trigger lags, if anything."""
        ...

    def rows_in(self, ranges: Sequence[_Range]) -> int:
        """Count the rows of the entries in some ranges, as far as these are kept."""
        ...

    def lag(self, undone: Sequence[_Range], position: int) -> Lag:
        """Tell what is in some ranges and from a position on."""
        ...


@dataclass(frozen=True, slots=True)
class Reports:
    """Who is told of rows that are never run; called by the thread that takes.

    Args:
        loop: of a chain of causes that is too long.
        skip: of [from, to) that was passed over, and the rows in it.
        gap: of [from, to) that is not kept any more, and the rows in it if that is known.
    """

    loop: Callable[[tuple[int, ...]], None]
    skip: Callable[[int, int, int], None]
    gap: Callable[[int, int, int | None], None]


class WalInbox:
    """Entries of the log from a position on; see the module for locks."""

    def __init__(
        self,
        position: Position,
        reading: Reading,
        nudge: Nudge | Nudges,
        *,
        open_ranges: Sequence[_Range] = (),
        max_causes: int,
        reports: Reports,
    ) -> None:
        """Set up the inbox.

        Args:
            position: how far the trigger has come.
            reading: reads its rows.
            nudge: signalled when there is something to do.
            open_ranges: of events to be delivered again exactly; those that are done are left out.
            max_causes: a longer chain of causes is cut.
            reports: who is told of what is left out.
        """
        self._taking = threading.Lock()
        self._lock = threading.Lock()
        self._next = position.low
        self._open = deque(r for r in sorted(open_ranges) if not position.covers(*r))
        self._finished = sorted((*position.finished, *self._open))  # what `_next` jumps over
        self._in_hand: set[_Range] = set()
        self._redrives = Redrives()
        self._end = position.low
        self._skipped_rows = 0
        self._gap_rows = 0
        self._reading = reading
        self._nudge = nudge
        self._max_causes = max_causes
        self._reports = reports

    @property
    def position(self) -> int:
        """Sequence below which every entry is done."""
        with self._lock:
            return self._low()

    def announce(self, end: int) -> None:
        """Tell that entries below `end` may be taken."""
        with self._lock:
            self._end = max(self._end, end)
        self._nudge.signal()

    def take(self) -> WalEvent | Redriven | None:
        """Read on to the next entries that hold rows of the trigger's tables."""
        if redriven := self._redrives.take():
            return redriven
        with self._taking:
            return self._take_again() or self._take_next()

    def done(self, work: Work) -> None:
        """Note a finished event."""
        self._redrives.done(work)
        if isinstance(work, WalEvent):
            with self._lock:
                self._in_hand.discard((work.start, work.end))

    def progress_after(self, work: Work) -> Progress | None:
        """Return what is done once this event is: its range, and all below the low mark."""
        if not isinstance(work, WalEvent):
            return None
        with self._lock:
            done = Position(0, ((work.start, work.end),))
            return Position(self._low()).joined(done)

    def lag(self) -> Lag:
        """Return how far the trigger is behind."""
        with self._lock:
            undone, position = (*self._in_hand, *self._open), self._next
            skipped_rows, gap_rows = self._skipped_rows, self._gap_rows
        lag = self._reading.lag(undone, position)
        return Lag(lag.events, lag.rows, lag.oldest_ns, skipped_rows, gap_rows)

    def give_up_before(self, sequence: int) -> bool:
        """Go on at a sequence: what is before it will not be kept, but for what is in hand.

        Returns:
            Whether anything was given up.
        """
        with self._taking:
            with self._lock:
                lost = [(start, end) for start, end in self._open if start < sequence]
                start = self._skip_finished()
                lost += _without(self._finished, start, sequence)
            if not lost:
                return False
            rows = self._reading.rows_in(lost)
            with self._lock:
                self._open = deque(r for r in self._open if r[0] >= sequence)
                self._next = max(self._next, sequence)
            if rows:
                self._note_gap(min(lost)[0], sequence, rows)
            return True

    def refuse(self, error: EngineError) -> None:
        """Do nothing: nobody waits for a WAL event."""

    def redrive(self, work: Redriven) -> bool:
        """Put an event that was given up before all others; return whether it is taken."""
        is_taken = self._redrives.add(work)
        self._nudge.signal()
        return is_taken

    def close(self) -> None:
        """Give back the events that were given up and wait."""
        self._redrives.close()

    def _take_again(self) -> WalEvent | None:
        while self._open:
            start, end = self._open[0]
            found = self._reading.exactly(start, end)
            if found.start > start:
                self._note_gap(start, found.start, None)
            if event := self._handed(start, found, is_open=True):
                return event
        return None

    def _take_next(self) -> WalEvent | None:
        while True:
            with self._lock:
                start = self._skip_finished()
                until = self._finished[0][0] if self._finished else None
                if start >= self._end:
                    return None
            if (skip := self._reading.skip(start)) is not None:
                self._pass_over(start, skip)
                continue
            found = self._reading.next(start, until)
            if found.start > start:
                self._note_gap(start, found.start, None)
            if event := self._handed(found.start, found, is_open=False):
                return event

    def _handed(self, start: int, found: LogSlice, *, is_open: bool) -> WalEvent | None:
        """Put what was read into the hands of a lane, if there is something to run."""
        is_loop = bool(found.tables) and len(found.causes) > self._max_causes
        is_event = bool(found.tables) and not is_loop
        with self._lock:
            if is_open:
                self._open.popleft()
            else:
                self._next = found.end
            if is_event:
                self._in_hand.add((start, found.end))
        if is_loop:
            self._reports.loop(found.causes)
        return WalEvent(start, found.end, found.tables, found.causes) if is_event else None

    def _pass_over(self, start: int, skip: Skip) -> None:
        with self._lock:
            self._next = skip.to
            self._skipped_rows += skip.rows
        self._reports.skip(start, skip.to, skip.rows)

    def _note_gap(self, start: int, end: int, rows: int | None) -> None:
        with self._lock:
            self._gap_rows += rows or 0
        self._reports.gap(start, end, rows)

    def _low(self) -> int:
        return min((self._next, *(start for start, _ in (*self._in_hand, *self._open))))

    def _skip_finished(self) -> int:
        while self._finished and self._finished[0][0] <= self._next:
            self._next = max(self._next, self._finished.pop(0)[1])
        return self._next


def _without(finished: Sequence[_Range], start: int, end: int) -> list[_Range]:
    """Return what is left of [start, end) beside finished ranges, which are sorted."""
    left = []
    for first, after in finished:
        if first >= end:
            break
        if start < first:
            left.append((start, first))
        start = max(start, after)
    return [*left, (start, end)] if start < end else left


def table_batches(
    tables: tuple[tuple[int, pa.RecordBatch], ...], name_of: Callable[[int], str]
) -> tuple[TableBatch, ...]:
    """Name the tables of a slice of the log."""
    return tuple(TableBatch(table_id, name_of(table_id), rows) for table_id, rows in tables)
