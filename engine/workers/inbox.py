"""What a trigger has to do next.

An inbox holds no rows and no backlog: a WAL trigger's is a position in the log, a scheduled
trigger's the last tick done, so a trigger that lags costs no memory. Requests are bounded and
refused beyond that. Sources call `announce` or `submit`, the trigger's lanes `take` and `done`, all
from any thread: an event is given to one lane, which keeps it until it is done with.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Protocol

from engine.errors import Busy, EngineError, TriggerDown
from engine.ingest.internal import DeadLetter
from engine.model.entry import Progress
from engine.model.event import (
    PluginResponse,
    RequestEvent,
    ScheduledEvent,
    WalEvent,
)
from engine.workers.answers import AnswerSink
from engine.workers.nudge import Nudge, Nudges

__all__ = ["Inbox", "PendingRequest", "Redriven", "RequestInbox", "Work"]


@dataclass(frozen=True, slots=True)
class PendingRequest:
    """A request, the future of whoever waits for its answer, and the way of the answer there."""

    event: RequestEvent
    answer: Future[PluginResponse]
    sink: AnswerSink = field(init=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "sink", AnswerSink(self.answer))


def _nothing() -> None:
    """Tell nobody."""


@dataclass(frozen=True, slots=True)
class Redriven:
    """An event that was given up and is run again because somebody asked for it.

    `on_end` is called when it is in nobody's hands any more, whatever became of it; once at least.
    """

    event: WalEvent | ScheduledEvent
    letter: DeadLetter
    on_end: Callable[[], object] = field(default=_nothing, compare=False, repr=False)


Work = WalEvent | ScheduledEvent | PendingRequest | Redriven


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

    def redrive(self, work: Redriven) -> bool:
        """Put an event that was given up before all others; return whether it is taken."""
        ...

    def close(self) -> None:
        """Refuse what waits and what comes: the trigger ends."""
        ...


class RequestInbox:
    """Requests in order of arrival; `_lock` guards the queue and whether it is open."""

    def __init__(self, limit: int, nudge: Nudge | Nudges) -> None:
        self._limit = limit
        self._nudge = nudge
        self._lock = threading.Lock()
        self._waiting: deque[PendingRequest] = deque()
        self._is_open = True

    def submit(self, event: RequestEvent) -> Future[PluginResponse]:
        """Queue a request.

        Raises:
            Busy: too many wait already.
            TriggerDown: the trigger is stopping.
        """
        pending = PendingRequest(event, Future())
        with self._lock:
            if not self._is_open:
                raise TriggerDown
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

    def redrive(self, work: Redriven) -> bool:  # noqa: ARG002  the protocol's shape
        """Take nothing: a request is answered, and given up with the answer."""
        return False

    def close(self) -> None:
        """Refuse what waits and what comes."""
        with self._lock:
            self._is_open = False
        self.refuse(TriggerDown())
