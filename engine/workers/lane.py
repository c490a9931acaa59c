"""The engine's end of a lane: one PAIR socket, one wait, named reasons to wake.

A lane is made, used and closed by one thread. While it waits it also takes what the process
prints, so that a talkative plugin never blocks on a full pipe.
"""

from __future__ import annotations

import hmac
import select
import time
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from enum import Enum
from typing import cast

import zmq
from zmq.utils.monitor import recv_monitor_message

from engine.errors import ProtocolFault
from engine.workers.descriptors import require_room
from engine.workers.nudge import Nudge
from engine.workers.process import WorkerProcess
from worker.wire import (
    LIMITS,
    PROTOCOL_VERSION,
    LocalWireError,
    Message,
    RemoteWireError,
    Session,
    decode,
    encode,
)
from worker.wire.messages import Hello

__all__ = ["Context", "Lane", "NotTaken", "Wake"]

Context = zmq.Context[zmq.Socket[bytes]]
"""The process-wide ZeroMQ context."""

_EXIT_AFTER_DISCONNECT_S = 2.0
_LAST_MESSAGES_S = 0.5
_LOOK_AROUND_EVERY = 64
# Plain numbers: an operation on the enum takes longer than the question to the socket.
_EVENTS, _READABLE = int(zmq.EVENTS), int(zmq.POLLIN)


class NotTaken(ProtocolFault):
    """Nobody is at the other end of the lane, most likely because the process has just died."""


class Wake(Enum):
    """Why a wait ended; of several reasons the first in this order is told.

    After each 64 messages a nudge or the deadline comes first, so that a worker which never stops
    talking can still be interrupted.
    """

    MESSAGE = "message"
    ENDED = "ended"
    NUDGED = "nudged"
    LATE = "late"


@dataclass(frozen=True, slots=True)
class _Attached:
    process: WorkerProcess
    nudge: Nudge


class Lane:
    """One conversation's socket, bound before the worker starts."""

    def __init__(self, context: Context, endpoint: str) -> None:
        """Bind the socket.

        Raises:
            OSError: it cannot be had, as when descriptors run out.
        """
        self._session = Session("engine")
        self._socket = _bound_socket(context, endpoint)
        self._monitor = self._socket.get_monitor_socket(zmq.EVENT_DISCONNECTED)
        self._is_disconnected = False
        self._messages = 0
        self._poll = select.poll()

    def attach(self, process: WorkerProcess, nudge: Nudge) -> None:
        """Watch the process that will speak on this lane."""
        self._attached = _Attached(process, nudge)
        for watched in (_descriptor(self._socket), _descriptor(self._monitor)):
            self._poll.register(watched, select.POLLIN)
        for watched in (process.pidfd, process.output, nudge.fileno()):
            self._poll.register(watched, select.POLLIN)

    def wait(self, deadline_s: float | None) -> Wake:
        """Wait for a message, the end of the process, a nudge or the deadline.

        Args:
            deadline_s: on the monotonic clock; None waits without limit.

        Raises:
            ProtocolFault: the worker closed the connection but lives on.
        """
        process, nudge = self._attached.process, self._attached.nudge
        while not self._has_message():
            ready = {descriptor for descriptor, _ in self._poll.poll(_milliseconds(deadline_s))}
            if self._has_message():
                break
            self._take_output(ready)
            if process.pidfd in ready:
                return self._after_the_end()
            if self._was_disconnected():
                return self._after_disconnect()
            if nudge.fileno() in ready:
                return Wake.NUDGED
            if _is_past(deadline_s):
                return Wake.LATE
        self._messages += 1
        return (
            Wake.MESSAGE if self._messages % _LOOK_AROUND_EVERY else self._look_around(deadline_s)
        )

    def send(self, message: Message) -> None:
        """Send a message; the session refuses one that is out of turn.

        Raises:
            NotTaken: the worker's side of the connection does not take it.
            ProtocolFault: it may not be sent now.
        """
        try:
            self._session.sent(message)
            self._socket.send(encode(message), zmq.NOBLOCK)
        except zmq.Again as error:
            raise NotTaken(f"cannot send {type(message).__name__}: {error}") from error
        except LocalWireError as error:
            raise ProtocolFault(f"cannot send {type(message).__name__}: {error}") from error

    def receive(self) -> Message:
        """Take the message that `wait` announced.

        Raises:
            ProtocolFault: it is not a legal message now.
        """
        data = self._socket.recv(zmq.NOBLOCK)
        if self._socket.getsockopt(zmq.RCVMORE):
            raise ProtocolFault("a message of several frames")
        try:
            message = decode(data, sender="worker")
            self._session.received(message)
        except RemoteWireError as error:
            raise ProtocolFault(str(error)) from error
        return message

    def check_hello(self, message: Message, token: bytes) -> None:
        """Verify the first message of a lane.

        Raises:
            ProtocolFault: it is not from the worker that was started, or of another version.
        """
        if not isinstance(message, Hello) or not hmac.compare_digest(message.token, token):
            raise ProtocolFault("the first message does not carry the worker's token")
        if message.protocol != PROTOCOL_VERSION:
            raise ProtocolFault(
                f"the worker speaks protocol {message.protocol}, not {PROTOCOL_VERSION}"
            )

    def close(self) -> None:
        """Close the socket and its monitor."""
        self._socket.disable_monitor()
        self._monitor.close(0)
        self._socket.close(0)

    def _has_message(self) -> bool:
        # The descriptor is edge-triggered: EVENTS has the truth and must be asked before a wait.
        return bool(cast("int", self._socket.getsockopt(_EVENTS)) & _READABLE)

    def _was_disconnected(self) -> bool:
        while cast("int", self._monitor.getsockopt(_EVENTS)) & _READABLE:
            recv_monitor_message(self._monitor, zmq.NOBLOCK)
            self._is_disconnected = True
        return self._is_disconnected

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
        poll.register(_descriptor(self._socket), select.POLLIN)
        poll.register(_descriptor(self._monitor), select.POLLIN)
        while not self._has_message():
            left_ms = _milliseconds(deadline_s)
            if self._was_disconnected() or not left_ms:
                # What was on its way had arrived before the end of the connection was noticed.
                return Wake.MESSAGE if self._has_message() else Wake.ENDED
            poll.poll(left_ms)
        return Wake.MESSAGE

    def _after_disconnect(self) -> Wake:
        if self._has_message():
            return Wake.MESSAGE
        if self._attached.process.has_ended(_EXIT_AFTER_DISCONNECT_S):
            return Wake.ENDED
        raise ProtocolFault("the worker closed its connection, or sent an oversized frame")


def _bound_socket(context: Context, endpoint: str) -> zmq.Socket[bytes]:
    require_room()
    socket: zmq.Socket[bytes] | None = None
    try:
        socket = context.socket(zmq.PAIR)
        socket.setsockopt(zmq.LINGER, 0)
        # Half-duplex bounds what waits here; only the many Restore messages come without a pause.
        socket.setsockopt(zmq.SNDHWM, 0)
        socket.setsockopt(zmq.MAXMSGSIZE, LIMITS.message_bytes)
        socket.bind(endpoint)
    except zmq.ZMQError as error:
        if socket is not None:
            socket.close(0)
        raise OSError(error.errno, f"cannot open {endpoint}: {error}") from error
    return socket


def _descriptor(socket: zmq.Socket[bytes]) -> int:
    return cast("int", socket.getsockopt(zmq.FD))


def _is_past(deadline_s: float | None) -> bool:
    return deadline_s is not None and time.monotonic() >= deadline_s


def _milliseconds(deadline_s: float | None) -> int | None:
    if deadline_s is None:
        return None
    return max(0, round((deadline_s - time.monotonic()) * 1000 + 0.5))
