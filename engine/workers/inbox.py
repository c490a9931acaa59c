"""What a trigger has to do next.

An inbox holds no rows and no backlog: a WAL trigger's is a position in the log, a scheduled
trigger's the last tick done, so a trigger that lags costs no memory. Requests are bounded and
refused beyond that. Sources call `announce` or `submit` from any thread; `take` and `done` are
called by the supervisor's thread.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Protocol

import pyarrow as pa

from engine.errors import Busy, EngineError, Stopping
from engine.model.catch_up import CatchUp, Turn, next_turn
from engine.model.entry import Position, Progress, Tick
from engine.model.event import (
    PluginResponse,
    RequestEvent,
    ScheduledEvent,
    TableBatch,
    WalEvent,
)
from engine.model.trigger import CronSpec, EverySpec
from engine.workers.answers import AnswerSink
from engine.workers.nudge import Nudge

__all__ = [
    "Inbox",
    "LogSlice",
    "PendingRequest",
    "RequestInbox",
    "ScheduleInbox",
    "WalInbox",
    "Work",
]


@dataclass(frozen=True, slots=True)
class PendingRequest:
    """A request, the future of whoever waits for its answer, and the way of the answer there."""

    event: RequestEvent
    answer: Future[PluginResponse]
    sink: AnswerSink = field(init=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "sink", AnswerSink(self.answer))


Work = WalEvent | ScheduledEvent | PendingRequest


class Inbox(Protocol):
    """What the supervisor needs of an inbox."""

    def take(self) -> Work | None:
        """Return the next event, or None when there is nothing to do."""
        ...

    def done(self, work: Work) -> None:
        """Note that an event is finished."""
        ...

    def progress_after(self, work: Work) -> Progress | None:
        """Return the trigger's progress once this event is finished."""
        ...

    def refuse(self, error: EngineError) -> None:
        """Answer everybody who waits with an error."""
        ...


@dataclass(frozen=True, slots=True)
class LogSlice:
    """Rows of a trigger's tables in the log entries up to `end`."""

    end: int
    tables: tuple[TableBatch, ...]
    causes: tuple[int, ...]


class WalInbox:
    """Entries of the log from a position on.

    `_end` is written by the feed, all else by the supervisor's thread; an int is replaced whole.
    """

    def __init__(
        self,
        position: int,
        read: Callable[[int], LogSlice],
        nudge: Nudge,
        *,
        max_causes: int,
        on_loop: Callable[[tuple[int, ...]], None],
    ) -> None:
        self.position = position
        self._end = position
        self._read = read
        self._nudge = nudge
        self._max_causes = max_causes
        self._on_loop = on_loop

    def announce(self, end: int) -> None:
        """Tell that entries below `end` may be taken."""
        self._end = max(self._end, end)
        self._nudge.signal()

    def take(self) -> WalEvent | None:
        """Read on to the next entries that hold rows of the trigger's tables."""
        while self.position < self._end:
            found = self._read(self.position)
            if found.tables and len(found.causes) <= self._max_causes:
                return WalEvent(self.position, found.end, found.tables, found.causes)
            if found.tables:
                self._on_loop(found.causes)
            self.position = found.end
        return None

    def done(self, work: Work) -> None:
        """Move on behind a finished event."""
        if isinstance(work, WalEvent):
            self.position = work.end

    def progress_after(self, work: Work) -> Progress | None:
        """Return the position behind the event."""
        return Position(work.end) if isinstance(work, WalEvent) else None

    def refuse(self, error: EngineError) -> None:
        """Do nothing: nobody waits for a WAL event."""


class ScheduleInbox:
    """Ticks after the last one that was done; `_due_ns` is written by the scheduler."""

    def __init__(
        self,
        spec: CronSpec | EverySpec,
        catch_up: CatchUp,
        nudge: Nudge,
        *,
        done_ns: int,
        now_ns: int,
        on_dropped: Callable[[Turn], None],
    ) -> None:
        """Set up the inbox.

        Args:
            spec: when ticks fall.
            catch_up: which of the missed ticks are run.
            nudge: signalled when ticks are due.
            done_ns: the last tick that was run; ticks between it and now were missed.
            now_ns: UTC nanoseconds.
            on_dropped: told by the thread that takes of ticks that are never run.
        """
        self._spec = spec
        self._catch_up = catch_up
        self._nudge = nudge
        self._done_ns = done_ns
        self._missed_until_ns = now_ns
        self._due_ns = done_ns
        self._on_dropped = on_dropped

    def announce(self, due_ns: int) -> None:
        """Tell that ticks up to a time are due."""
        self._due_ns = max(self._due_ns, due_ns)
        self._nudge.signal()

    def take(self) -> ScheduledEvent | None:
        """Return the due tick that the catch-up policy chooses, and drop those it passes over."""
        turn = next_turn(
            self._spec,
            self._catch_up,
            done_ns=self._done_ns,
            missed_until_ns=self._missed_until_ns,
            due_ns=self._due_ns,
        )
        self._done_ns = turn.done_ns
        if turn.dropped:
            self._on_dropped(turn)
        return None if turn.tick_ns is None else ScheduledEvent(turn.tick_ns)

    def done(self, work: Work) -> None:
        """Note a finished tick; those that fell due meanwhile were missed."""
        if isinstance(work, ScheduledEvent):
            self._done_ns = work.time_ns
            self._missed_until_ns = max(self._missed_until_ns, self._due_ns)

    def progress_after(self, work: Work) -> Progress | None:
        """Return the tick itself."""
        return Tick(work.time_ns) if isinstance(work, ScheduledEvent) else None

    def refuse(self, error: EngineError) -> None:
        """Do nothing: nobody waits for a tick."""


class RequestInbox:
    """Requests in order of arrival; `_lock` guards the queue and whether it is open."""

    def __init__(self, limit: int, nudge: Nudge) -> None:
        self._limit = limit
        self._nudge = nudge
        self._lock = threading.Lock()
        self._waiting: deque[PendingRequest] = deque()
        self._is_open = True

    def submit(self, event: RequestEvent) -> Future[PluginResponse]:
        """Queue a request.

        Raises:
            Busy: too many wait already.
            Stopping: the trigger is stopping.
        """
        pending = PendingRequest(event, Future())
        with self._lock:
            if not self._is_open:
                raise Stopping
            if len(self._waiting) >= self._limit:
                raise Busy(f"{self._limit} requests wait for this plugin; try again shortly")
            self._waiting.append(pending)
        self._nudge.signal()
        return pending.answer

    def take(self) -> PendingRequest | None:
        """Return the next request whose client still waits."""
        while True:
            with self._lock:
                if not self._waiting:
                    return None
                pending = self._waiting.popleft()
            if pending.answer.set_running_or_notify_cancel():
                return pending

    def done(self, work: Work) -> None:
        """Do nothing: a request leaves no position."""

    def progress_after(self, work: Work) -> Progress | None:  # noqa: ARG002  the protocol's shape
        """Return None: a request leaves no position."""
        return None

    def refuse(self, error: EngineError) -> None:
        """Answer every waiting request with an error."""
        with self._lock:
            waiting, self._waiting = self._waiting, deque()
        for pending in waiting:
            if pending.answer.set_running_or_notify_cancel():
                pending.answer.set_exception(error)

    def close(self) -> None:
        """Refuse what waits and what comes."""
        with self._lock:
            self._is_open = False
        self.refuse(Stopping())


def table_batches(
    tables: tuple[tuple[int, pa.RecordBatch], ...], name_of: Callable[[int], str]
) -> tuple[TableBatch, ...]:
    """Name the tables of a slice of the log."""
    return tuple(TableBatch(table_id, name_of(table_id), rows) for table_id, rows in tables)
