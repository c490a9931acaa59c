"""The worker's end of a lane: one PAIR socket, and the order in which it may be used.

The lane's own thread waits for events and runs them; it holds the lock while it waits, so that no
other thread touches the socket. While the plugin runs, any of its threads may call (one at a time)
and log. A log line never waits: who cannot have the lock leaves the line in a queue and nudges the
holder. The queue is bounded; when it is full the oldest lines are lost.

ZeroMQ is asked only for what it can do at once (EVENTS first), and `select.poll` does the waiting:
a ZMQError would import `zmq` again while it is built, which by then may be the plugin's own.

Source: for the edge-triggered descriptor, the ZeroMQ manual, "ZMQ_FD".
"""

from __future__ import annotations

import os
import select
import threading
from collections import deque
from typing import cast

import zmq

from worker.wire import LIMITS, Message, Session, decode, encode
from worker.wire.messages import Cancel, Log, Mirror

__all__ = ["Lane", "LaneClosed", "open_context"]

CANCELLED_TEXT = "influxdb3 is shutting down; aborting plugin execution"
_MOST_NOTES = 10_000
_LAST_MESSAGES_MS = 500
# Plain numbers: arithmetic with an enumeration takes longer than asking the socket.
_READABLE = int(zmq.POLLIN)
_WRITABLE = int(zmq.POLLOUT)
_EVENTS = int(zmq.EVENTS)

ZmqContext = zmq.Context["zmq.Socket[bytes]"]


class LaneClosed(Exception):
    """The other end did not speak in time."""


def open_context() -> ZmqContext:
    """Make the process's only context."""
    return zmq.Context(1)


class Lane:
    """One conversation with the engine."""

    def __init__(self, context: ZmqContext, endpoint: str) -> None:
        self._session = Session("worker")
        self._lock = threading.RLock()
        self._notes: deque[Message] = deque(maxlen=_MOST_NOTES)
        self._nudge = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._pid = os.getpid()
        self.is_cancelled = False
        self.owner: object = None
        self._socket = context.socket(zmq.PAIR)
        self._socket.setsockopt(zmq.RECONNECT_IVL, -1)
        # The engine's thread, which shakes hands, may be running an event in another process.
        self._socket.setsockopt(zmq.HANDSHAKE_IVL, 0)
        self._socket.setsockopt(zmq.LINGER, _LAST_MESSAGES_MS)
        # The engine is trusted, and its many Restore messages must not wait for one another.
        self._socket.setsockopt(zmq.RCVHWM, 0)
        self._socket.setsockopt(zmq.MAXMSGSIZE, LIMITS.message_bytes)
        self._monitor = self._socket.get_monitor_socket(zmq.EVENT_CONNECTED)
        self._socket.connect(endpoint)
        self._waiter = select.poll()
        self._waiter.register(cast("int", self._socket.getsockopt(zmq.FD)), select.POLLIN)
        self._waiter.register(self._nudge, select.POLLIN)

    def await_connected(self, timeout_s: float) -> None:
        """Wait until the connection is made: ZeroMQ makes it in a thread of its own.

        Raises:
            LaneClosed: it was not made in time.
        """
        is_connected = self._monitor.poll(int(timeout_s * 1000), zmq.POLLIN)
        self._socket.disable_monitor()
        self._monitor.close(0)
        if not is_connected:
            raise LaneClosed("the engine does not listen")

    def send(self, message: Message) -> None:
        """Send a message; the lane's own thread.

        Raises:
            LocalWireError: it does not fit, or is out of turn.
        """
        packed = encode(message)
        with self._lock:
            self._send_notes()
            self._session.sent(message)
            self._send_packed(packed)

    def note(self, message: Log | Mirror) -> None:
        """Send a side note, or leave it to the thread that holds the lane; any thread."""
        self._notes.append(message)
        if not self._lock.acquire(blocking=False):
            os.eventfd_write(self._nudge, 1)
            return
        try:
            self._send_notes()
        finally:
            self._lock.release()

    def call(self, message: Message, owner: object, *, is_cancellable: bool = True) -> Message:
        """Send a call and wait for its reply; any thread of the plugin.

        Args:
            message: the call.
            owner: who calls; only the owner of the run in hand may.
            is_cancellable: whether it raises when the run has been cancelled.

        Raises:
            KeyboardInterrupt: the run has been cancelled.
            LocalWireError: the call does not fit.
            RuntimeError: the run has ended, or this is a forked process.
        """
        packed = encode(message)
        with self._lock:
            self._look_for_cancel()
            if is_cancellable:
                self.raise_if_cancelled()
            if self.owner is not owner:
                raise RuntimeError("the run has ended")
            self._send_notes()
            self._session.sent(message)
            self._send_packed(packed)
            while type(reply := self._receive(None)) is Cancel:
                continue  # the engine still owes the reply
            return reply

    def check(self) -> None:
        """Look for a Cancel without waiting; any thread of the plugin.

        Raises:
            KeyboardInterrupt: the run has been cancelled.
            RuntimeError: this is a forked process.
        """
        if self._lock.acquire(blocking=False):
            try:
                self._look_for_cancel()
            finally:
                self._lock.release()
        self.raise_if_cancelled()

    def raise_if_cancelled(self) -> None:
        """Raise KeyboardInterrupt when the run has been cancelled."""
        if self.is_cancelled:
            raise KeyboardInterrupt(CANCELLED_TEXT)

    def receive(self, timeout_s: float | None = None) -> Message:
        """Wait for the next message that is no Cancel; the lane's own thread.

        Raises:
            LaneClosed: none came in time.
            RemoteWireError: it is not a legal message now.
        """
        with self._lock:
            while type(message := self._receive(timeout_s)) is Cancel:
                continue
        # A Cancel that came between two runs was meant for the one that had just ended.
        self.is_cancelled = False
        return message

    def close(self) -> None:
        """Close the socket; what was sent may still leave."""
        with self._lock:
            self._socket.close()

    def _look_for_cancel(self) -> None:
        self._refuse_fork()
        while self._events() & _READABLE:
            self._take()

    def _receive(self, timeout_s: float | None) -> Message:
        timeout_ms = None if timeout_s is None else int(timeout_s * 1000)
        while not self._events() & _READABLE:
            self._wait(timeout_ms)
            self._send_notes()
        return self._take()

    def _take(self) -> Message:
        message = decode(self._socket.recv(zmq.NOBLOCK), sender="engine")
        self._session.received(message)
        if type(message) is Cancel:
            self.is_cancelled = True
        return message

    def _send_notes(self) -> None:
        self._refuse_fork()
        # Not until none is left: a thread that never stops logging would hold this one here.
        for _ in range(len(self._notes)):
            note = self._notes.popleft()
            self._session.sent(note)
            self._send_packed(encode(note))

    def _send_packed(self, packed: bytes) -> None:
        while not self._events() & _WRITABLE:
            self._wait(None)
        self._socket.send(packed, zmq.NOBLOCK)

    def _wait(self, timeout_ms: int | None) -> None:
        ready = self._waiter.poll(timeout_ms)
        if not ready:
            raise LaneClosed("the engine did not answer")
        if any(descriptor == self._nudge for descriptor, _ in ready):
            os.eventfd_read(self._nudge)

    def _events(self) -> int:
        return cast("int", self._socket.getsockopt(_EVENTS))

    def _refuse_fork(self) -> None:
        # The socket's threads did not come along into a forked child.
        if os.getpid() != self._pid:
            raise RuntimeError("influxdb3_local cannot be used in a forked process")
