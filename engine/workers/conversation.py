"""The life of an event on its lane, read top to bottom.

`greet` brings a fresh worker to rest, `run` carries one event through it, `rest` waits between
events. In all of them the worker may log and mirror cache values at any time. Whatever interrupts
a run (the end of the process, the deadline, a request to stop, a broken protocol) is an outcome,
never an exception to the supervisor.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Protocol, TypeVar

from engine.cache import Mirror
from engine.errors import ProtocolFault
from engine.faultpoint import reach
from engine.model.event import Crashed, Failed, Outcome, OverLimit, ProtocolBroken, TimedOut
from engine.workers.callbacks import Callbacks, Reply, RunContext
from engine.workers.lane import Lane, NotTaken, StopAsked, Wake
from engine.workers.nudge import Nudge
from engine.workers.output import RunOutput
from engine.workers.process import WorkerProcess
from worker.wire import API_VERSION
from worker.wire import messages as wire

__all__ = ["Conversation", "GreetingFailed", "LogSink", "RunLimits", "StopAsked"]

_DYING_S = 1.0  # between the loss of the connection and the end of the process

R = TypeVar("R", bound=Reply)
_CALLS = (
    wire.QueryCall,
    wire.WriteCall,
    wire.CachePutCall,
    wire.CacheGetCall,
    wire.CacheDeleteCall,
)


class LogSink(Protocol):
    """Where a plugin's log lines go."""

    def __call__(self, level: str, text: str, time_ns: int) -> None:
        """Take one line."""
        ...


@dataclass(frozen=True, slots=True)
class RunLimits:
    """Seconds that a start, a run, and a cancelled run may take."""

    start_s: float
    run_s: float
    cancel_grace_s: float


class GreetingFailed(Exception):
    """The worker did not come to rest; the text says why."""


class _Ended(Exception):
    """The process has ended."""


class _Late(Exception):
    """The deadline has passed."""


class Conversation:
    """One lane with one worker; made and used by the supervisor's thread."""

    def __init__(  # noqa: PLR0913  its collaborators, each used
        self,
        lane: Lane,
        process: WorkerProcess,
        nudge: Nudge,
        *,
        callbacks: Callbacks,
        mirror: Mirror,
        log: LogSink,
        is_stopping: Callable[[], bool],
        limits: RunLimits,
    ) -> None:
        self._lane = lane
        self._process = process
        self._nudge = nudge
        self._callbacks = callbacks
        self._mirror = mirror
        self._log = log
        self._is_stopping = is_stopping
        self._limits = limits
        self._is_up = False
        self._is_cancelled = False
        self._output: RunOutput | None = None
        lane.attach(process, nudge, is_stopping)

    def greet(self, token: bytes, now_ns: int | None) -> None:
        """Bring a fresh worker to rest and give it back what of its cache lives at a time, if any.

        Raises:
            GreetingFailed: it ended, was too slow, or is not the one that was started.
            StopAsked: the owner wants the thread back.
        """
        deadline_s = time.monotonic() + self._limits.start_s
        try:
            self._lane.expect(token)
            self._lane.check_hello(self._next(deadline_s))
            values = [] if now_ns is None else self._mirror.unexpired(now_ns)
            self._lane.send(wire.Welcome(API_VERSION, len(values)))
            for key, cached in values:
                self._lane.send(wire.Restore(key, cached.value, cached.expires_ns))
            self._next(deadline_s)  # the session lets only Ready through here
            self._is_up = True
        except _Ended:
            raise GreetingFailed(_join(self._ending(), self._process.last_words())) from None
        except _Late:
            silence = f"no word from it within {self._limits.start_s:g} s"
            raise GreetingFailed(_join(silence, self._lane.turned_away())) from None
        except ProtocolFault as error:
            raise GreetingFailed(str(error)) from error

    def load(self, source: wire.Load) -> None:
        """Tell the worker which plugin to run from now on.

        Raises:
            NotTaken: it does not take it, most likely because it has just died.
            StopAsked: the owner wants the thread back.
        """
        self._lane.send(source)

    def run(
        self, event: wire.WalRun | wire.ScheduledRun | wire.RequestRun, context: RunContext
    ) -> Outcome:
        """Carry one event through the worker.

        Raises:
            StopAsked: the owner wants the thread back and the run did not finish in time.
        """
        try:
            self._lane.send(event)
            reach("run.event_sent")
            return self._serve(context, time.monotonic() + self._limits.run_s)
        except _Ended:
            return self._death()
        except _Late:
            if self._is_cancelled:
                raise StopAsked from None
            return TimedOut(self._limits.run_s)
        except NotTaken as error:
            ended = self._process.has_ended(_DYING_S)
            return self._death() if ended else ProtocolBroken(str(error))
        except ProtocolFault as error:
            return ProtocolBroken(str(error))

    def pause(self, seconds: float) -> str | None:
        """Wait, or until the owner wants the thread back, or the worker ends; as `rest` returns."""
        deadline_s = time.monotonic() + seconds
        while time.monotonic() < deadline_s:
            self._nudge.clear()
            if self._is_stopping():
                break
            ending = self.rest(deadline_s)
            if ending is not None:
                return ending
        return None

    def rest(self, deadline_s: float | None = None) -> str | None:
        """Wait until there is a reason to look for work.

        Returns:
            None after a nudge or at the deadline, or how the worker ended.
        """
        try:
            while True:
                match self._lane.wait(deadline_s):
                    case Wake.MESSAGE:
                        self._side_note(self._lane.receive())
                    case Wake.ENDED:
                        return _join(self._ending(), self._process.last_words())
                    case Wake.NUDGED | Wake.LATE:
                        return None
        except ProtocolFault as error:
            return f"broke the protocol: {error}"

    def end_before_run(self) -> str | None:
        """Return how the worker has ended since its last run, which is not the next one's fault."""
        return self.rest(time.monotonic()) if self._lane.is_deserted() else None

    def dismiss(self, within_s: float) -> None:
        """Let the worker end by itself and take what it still says, above all about its cache."""
        deadline_s = time.monotonic() + within_s
        with contextlib.suppress(ProtocolFault, StopAsked):  # it is killed in any case
            self._lane.send(wire.Stop())
            while (woken := self._lane.wait(deadline_s)) not in {Wake.ENDED, Wake.LATE}:
                if woken is Wake.MESSAGE:
                    self._side_note(self._lane.receive())
                else:
                    self._nudge.clear()

    def _serve(self, context: RunContext, deadline_s: float) -> Outcome:
        output = self._output = RunOutput(context.answer, self._nudge.signal)
        while True:
            message = self._next(deadline_s)
            match message:
                case wire.Result(fault, response):
                    reach("run.result_received")
                    if fault is not None:
                        return self._failure(fault.message, fault.traceback)
                    return output.succeeded(response)
                case wire.Lines() | wire.Head():
                    output.add(message)
                case wire.Chunk():
                    self._lane.send(self._await(output.put(message), deadline_s))
                case _ if isinstance(message, _CALLS):
                    reply = self._callbacks.start(message, context)
                    self._lane.send(self._await(reply, deadline_s))
                    reach("run.call_answered")

    def _failure(self, message: str, traceback: str) -> Failed:
        if self._is_cancelled:
            raise StopAsked
        if self._output is not None and self._output.is_unwanted:
            return Failed("run cancelled: the client left before the end of its answer", traceback)
        return Failed(message, traceback)

    def _await(self, future: Future[R], deadline_s: float) -> R:
        """Wait for the reply to a call while watching the worker that waits for it."""
        if not future.done():
            future.add_done_callback(lambda _: self._nudge.signal())
        while not future.done():
            self._wake(deadline_s)
        return future.result()

    def _next(self, deadline_s: float) -> wire.Message:
        """Return the next message that is not a side note."""
        while True:
            message = self._wake(deadline_s)
            if message is not None:
                return message

    def _wake(self, deadline_s: float) -> wire.Message | None:
        """Wait once; return a message that somebody has to answer, if that is what came."""
        match self._lane.wait(self._deadline(deadline_s)):
            case Wake.MESSAGE:
                return self._side_note(self._lane.receive())
            case Wake.ENDED:
                raise _Ended
            case Wake.LATE:
                raise _Late
            case Wake.NUDGED:
                self._nudge.clear()
                self._look_whether_to_cancel()
                return None

    def _look_whether_to_cancel(self) -> None:
        if self._is_stopping() and not self._is_cancelled:
            self._cancel()
        elif self._output is not None and self._output.must_cancel():
            self._lane.send(wire.Cancel())

    def _cancel(self) -> None:
        if not self._is_up:
            raise StopAsked
        self._is_cancelled = True
        self._cancelled_until_s = time.monotonic() + self._limits.cancel_grace_s
        self._lane.send(wire.Cancel())

    def _deadline(self, deadline_s: float) -> float:
        return min(deadline_s, self._cancelled_until_s) if self._is_cancelled else deadline_s

    def _side_note(self, message: wire.Message) -> wire.Message | None:
        match message:
            case wire.Log(level, text, time_ns):
                self._log(level, text, time_ns)
            case wire.Mirror(key, value, expires_ns, state):
                self._mirror.follow(key, value, expires_ns, state)
            case _:
                return message
        return None

    def _death(self) -> Outcome:
        ending = self._ending()
        over_limit = self._process.over_limit()
        if over_limit is not None:
            return OverLimit(over_limit)
        return Crashed(ending, self._process.last_words())

    def _ending(self) -> str:
        self._process.end()
        return self._process.over_limit() or self._process.ending() or "ended"


def _join(text: str, details: str) -> str:
    return f"{text}\n{details}" if details else text
