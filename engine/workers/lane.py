"""The engine's end of a lane: one socket, one wait, named reasons to wake.

A lane is made, used and closed by one thread. While it waits it also takes what the process
prints, so that a talkative plugin never blocks on a full pipe.
"""

from __future__ import annotations

import select
import time
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from enum import Enum

from engine.errors import ProtocolFault
from engine.workers.endpoint import Context, Endpoint, NotTaken
from engine.workers.nudge import Nudge
from engine.workers.process import WorkerProcess
from worker.wire import (
    PROTOCOL_VERSION,
    LocalWireError,
    Message,
    RemoteWireError,
    Session,
    decode,
    encode,
)
from worker.wire.messages import Hello

__all__ = ["Context", "Lane", "NotTaken", "StopAsked", "Wake"]

_EXIT_AFTER_DISCONNECT_S = 2.0
_LAST_MESSAGES_S = 0.5
_LOOK_AROUND_EVERY = 64


class Wake(Enum):
    """Why a wait ended; of several reasons the first in this order is told.

    After each 64 messages a nudge or the deadline comes first, so that a worker which never stops
    talking can still be interrupted.
    """

    MESSAGE = "message"
    ENDED = "ended"
    NUDGED = "nudged"
    LATE = "late"


class StopAsked(Exception):
    """The supervisor is to stop, and the run in hand did not finish within the grace."""


@dataclass(frozen=True, slots=True)
class _Attached:
    process: WorkerProcess
    nudge: Nudge
    is_stopping: Callable[[], bool]


class Lane:
    """One conversation's socket, bound before the worker starts."""

    def __init__(self, context: Context, endpoint: str) -> None:
        """Bind the socket.

        Raises:
            OSError: it cannot be had, as when descriptors run out.
        """
        self._session = Session("engine")
        self._endpoint = Endpoint(context, endpoint)
        self._messages = 0
        self._poll = select.poll()

    def attach(self, process: WorkerProcess, nudge: Nudge, is_stopping: Callable[[], bool]) -> None:
        """Watch the process that will speak on this lane, and whether the owner is to stop."""
        self._attached = _Attached(process, nudge, is_stopping)
        self._endpoint.heed((process.pidfd, nudge.fileno()), self._why_not_wait)
        for watched in (self._endpoint.fileno(), process.pidfd, process.output, nudge.fileno()):
            self._poll.register(watched, select.POLLIN)

    def expect(self, token: bytes) -> None:
        """Tell what the worker has to say in its Hello; before the first wait."""
        self._endpoint.expect(token)

    def turned_away(self) -> str:
        """Say who came that was not the worker, or nothing."""
        return self._endpoint.turned_away()

    def is_deserted(self) -> bool:
        """Whether the worker can be seen to be gone or broken; does not wait, as `wait` tells."""
        try:
            if self._endpoint.pump():
                return False
        except ProtocolFault:
            return True
        return self._endpoint.is_closed or self._attached.process.has_ended(0)

    def wait(self, deadline_s: float | None) -> Wake:
        """Wait for a message, the end of the process, a nudge or the deadline.

        Args:
            deadline_s: on the monotonic clock; None waits without limit.

        Raises:
            ProtocolFault: the worker sent no message but bytes, or left the lane but lives on.
        """
        process, nudge = self._attached.process, self._attached.nudge
        while not self._endpoint.pump():
            timeout_ms = 0 if self._endpoint.has_news else _milliseconds(deadline_s)
            ready = {descriptor for descriptor, _ in self._poll.poll(timeout_ms)}
            if self._endpoint.pump():
                break
            self._take_output(ready)
            if process.pidfd in ready:
                return self._after_the_end()
            if self._endpoint.is_closed:
                return self._after_disconnect()
            if nudge.fileno() in ready:
                return Wake.NUDGED
            if _is_past(deadline_s):
                return Wake.LATE
        self._messages += 1
        if self._messages % _LOOK_AROUND_EVERY == 0 or self._endpoint.was_slow:
            return self._look_around(deadline_s)
        return Wake.MESSAGE

    def send(self, message: Message) -> None:
        """Send a message; the session refuses one that is out of turn.

        Raises:
            NotTaken: the worker's side of the connection does not take it.
            StopAsked: it does not take it at once, and the owner is to stop.
            ProtocolFault: it may not be sent now.
        """
        try:
            self._session.sent(message)
            self._endpoint.send(encode(message))
            if self._endpoint.was_slow:
                self._attached.nudge.signal()  # again: what it was for has not been looked at
        except NotTaken as error:
            raise NotTaken(f"cannot send {type(message).__name__}: {error}") from error
        except LocalWireError as error:
            raise ProtocolFault(f"cannot send {type(message).__name__}: {error}") from error

    def receive(self) -> Message:
        """Take the message that `wait` announced.

        Raises:
            ProtocolFault: it is not a legal message now.
        """
        try:
            message = decode(self._endpoint.receive(), sender="worker")
            self._session.received(message)
        except RemoteWireError as error:
            raise ProtocolFault(str(error)) from error
        return message

    def check_hello(self, message: Message) -> None:
        """Verify the first message of the worker.

        Raises:
            ProtocolFault: it is of another version.
        """
        if not isinstance(message, Hello):
            raise ProtocolFault(f"{type(message).__name__} instead of Hello")
        if message.protocol != PROTOCOL_VERSION:
            raise ProtocolFault(
                f"the worker speaks protocol {message.protocol}, not {PROTOCOL_VERSION}"
            )

    def close(self) -> None:
        """Close the socket."""
        self._endpoint.close()

    def _why_not_wait(self) -> str:
        """Say why a message need not wait any longer for the worker to take it."""
        process, nudge = self._attached.process, self._attached.nudge
        nudge.clear()
        if self._attached.is_stopping():
            raise StopAsked
        return "its process has ended" if process.has_ended(0) else ""

    def _look_around(self, deadline_s: float | None) -> Wake:
        """Notice what else there is although a message waits."""
        ready = {descriptor for descriptor, _ in self._poll.poll(0)}
        self._take_output(ready)
        if self._attached.nudge.fileno() in ready:
            return Wake.NUDGED
        return Wake.LATE if _is_past(deadline_s) else Wake.MESSAGE

    def _take_output(self, ready: AbstractSet[int]) -> None:
        process = self._attached.process
        if process.output in ready and not process.read_output():
            self._poll.unregister(process.output)

    def _after_the_end(self) -> Wake:
        """Give what the process said last a chance to arrive: its data may be on the way."""
        deadline_s = time.monotonic() + _LAST_MESSAGES_S
        poll = select.poll()
        poll.register(self._endpoint.fileno(), select.POLLIN)
        while not self._endpoint.pump():
            left_ms = _milliseconds(deadline_s)
            # That the connection has ended comes after all that was sent on it.
            if self._endpoint.is_closed or not left_ms:
                return Wake.ENDED
            poll.poll(0 if self._endpoint.has_news else left_ms)
        return Wake.MESSAGE

    def _after_disconnect(self) -> Wake:
        if self._attached.process.has_ended(_EXIT_AFTER_DISCONNECT_S):
            return Wake.ENDED
        raise ProtocolFault("the worker closed its connection")


def _is_past(deadline_s: float | None) -> bool:
    return deadline_s is not None and time.monotonic() >= deadline_s


def _milliseconds(deadline_s: float | None) -> int | None:
    if deadline_s is None:
        return None
    return max(0, round((deadline_s - time.monotonic()) * 1000 + 0.5))
