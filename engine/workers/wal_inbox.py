"""The inbox of a WAL trigger: a position in the log, and what is in the hands of its lanes.

Each commit says which range it has finished and below which entry everything is done; the log joins
these. So it does not matter in which order concurrent runs come to their end, and the ranges that
were not finished are found again after a restart.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa

from engine.errors import EngineError
from engine.model.entry import Position, Progress
from engine.model.event import TableBatch, WalEvent
from engine.workers.inbox import Redriven, Work
from engine.workers.nudge import Nudge, Nudges
from engine.workers.redrives import Redrives

__all__ = ["LogSlice", "ReadSlice", "WalInbox", "table_batches"]


@dataclass(frozen=True, slots=True)
class LogSlice:
    """Rows of a trigger's tables in the log entries up to `end`."""

    end: int
    tables: tuple[TableBatch, ...]
    causes: tuple[int, ...]


class ReadSlice(Protocol):
    """Reads the trigger's rows."""

    def __call__(self, position: int, until: int | None) -> LogSlice:
        """Return rows of the entries from a position on, before `until` if it is given."""
        ...


class WalInbox:
    """Entries of the log from a position on; `_lock` guards all fields but `_redrives`."""

    def __init__(
        self,
        position: Position,
        read: ReadSlice,
        nudge: Nudge | Nudges,
        *,
        max_causes: int,
        on_loop: Callable[[tuple[int, ...]], None],
    ) -> None:
        self._lock = threading.Lock()
        self._next = position.low
        self._finished = deque(position.finished)
        self._in_hand: set[tuple[int, int]] = set()
        self._redrives = Redrives()
        self._end = position.low
        self._read = read
        self._nudge = nudge
        self._max_causes = max_causes
        self._on_loop = on_loop

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
        with self._lock:
            while (start := self._skip_finished()) < self._end:
                until = self._finished[0][0] if self._finished else None
                found = self._read(start, until)
                self._next = found.end
                if found.tables and len(found.causes) <= self._max_causes:
                    self._in_hand.add((start, found.end))
                    return WalEvent(start, found.end, found.tables, found.causes)
                if found.tables:
                    self._on_loop(found.causes)
            return None

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

    def _low(self) -> int:
        return min((start for start, _ in self._in_hand), default=self._next)

    def _skip_finished(self) -> int:
        while self._finished and self._finished[0][0] <= self._next:
            self._next = max(self._next, self._finished.popleft()[1])
        return self._next


def table_batches(
    tables: tuple[tuple[int, pa.RecordBatch], ...], name_of: Callable[[int], str]
) -> tuple[TableBatch, ...]:
    """Name the tables of a slice of the log."""
    return tuple(TableBatch(table_id, name_of(table_id), rows) for table_id, rows in tables)
