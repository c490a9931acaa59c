"""The engine's socket of a lane: raw bytes in small parts, so that what waits here is bounded.

A PAIR socket of ZeroMQ gathers a message before anybody sees it, and one of many frames has no
limit. So this end is a STREAM socket, which gives `[identity, part]`, a part being at most 8 KiB
of what one peer has sent, and the frames are read by `engine.workers.zmtp`. An empty part says that
a peer has come, and a second one, in its place among the peer's parts, that it has left.

Of all who come, the first to say Hello with the worker's token owns the lane; the others are turned
away then, and the name of the socket is removed, so that nobody else can come. Who has not said
Hello yet has a few KiB to do it in, and costs the owner nothing.

At most `_PARTS` parts wait to be read, and `_PIECES` pieces of 64 KiB to be sent: beyond that, the
peer's own writes wait, and `send` does, but not long. There is no room either with a peer that has
died as long as parts of it wait to be read, so the waiting `send` heeds what else is to be seen.

One thread at a time.
"""

from __future__ import annotations

import contextlib
import hmac
import logging
import select
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import cast

import zmq

from engine.errors import ProtocolFault
from engine.workers.descriptors import require_room
from engine.workers.zmtp import OPENING, Decoder, header
from worker.wire import LIMITS, RemoteWireError, decode
from worker.wire.messages import Hello

__all__ = ["Context", "Endpoint", "NotTaken"]

log = logging.getLogger(__name__)

Context = zmq.Context[zmq.Socket[bytes]]
"""The process-wide ZeroMQ context."""

_PARTS = 256
_PIECES = 256
_PIECE_BYTES = 64 << 10
_PARTS_AT_ONCE = 512
_MOST_STRANGERS = 64
_HELLO_BYTES = 4096
_TAKEN_WITHIN_S = 10.0
_TELL_EVERY_S = 10.0
# Plain numbers: an operation on the enum takes longer than the question to the socket.
_EVENTS, _READABLE = int(zmq.EVENTS), int(zmq.POLLIN)
_NOBLOCK, _IDENTITY = int(zmq.NOBLOCK), int(zmq.NOBLOCK | zmq.SNDMORE)


class NotTaken(ProtocolFault):
    """Nobody is at the other end of the lane, most likely because the process has just died."""


class Endpoint:
    """A bound socket and its peers.

    `is_closed` says that the owner has closed the connection, `was_slow` that it did not take the
    last message at once.
    """

    def __init__(self, context: Context, address: str) -> None:
        """Bind the socket.

        Raises:
            OSError: it cannot be had, as when descriptors run out.
        """
        self._address = address
        self._socket = _bound_socket(context, address)
        self._token: bytes | None = None
        self._owner: bytes | None = None
        self._decoder = Decoder(_HELLO_BYTES)
        self._messages: deque[bytes | bytearray] = deque()
        self._strangers: dict[bytes, Decoder] = {}
        self._fault: ProtocolFault | None = None
        self._turned_away = 0
        self._reason = ""
        self._told_s = float("-inf")
        self._patience_s = self._left_s = _TAKEN_WITHIN_S
        self._heeded: tuple[int, ...] = ()
        self._why_not: Callable[[], str] = str
        self._is_behind = False
        self.is_closed = False
        self.was_slow = False

    def fileno(self) -> int:
        """Return the descriptor to wait on; it is edge-triggered, so `pump` before each wait."""
        return cast("int", self._socket.getsockopt(zmq.FD))

    def expect(self, token: bytes) -> None:
        """Tell what the owner has to say in its Hello; before the first `pump`."""
        self._token = token

    def heed(self, descriptors: tuple[int, ...], why_not: Callable[[], str]) -> None:
        """Have a `send` that waits ask why not to, at once and when a descriptor is readable."""
        self._heeded, self._why_not = descriptors, why_not

    def pump(self) -> bool:
        """Take what has come, up to a message of the owner; return whether one waits.

        Raises:
            ProtocolFault: the owner has sent what is no message, after those that were.
        """
        if self._messages:
            return True
        events, recv = self._socket.getsockopt, self._socket.recv
        for _ in range(_PARTS_AT_ONCE):
            if self._fault is not None:
                raise self._fault
            # The descriptor does not tell again what it has told: EVENTS has the truth.
            if not events(_EVENTS) & _READABLE:  # type: ignore[operator]
                self._is_behind = False
                return False
            identity = recv(_NOBLOCK)
            self._take(identity, recv(_NOBLOCK))
            if self._messages:
                return True
        self._is_behind = True
        return False

    @property
    def has_news(self) -> bool:
        """Whether there is something to do that the descriptor does not tell again."""
        return self._is_behind or self.is_closed

    def receive(self) -> bytes | bytearray:
        """Take the message that `pump` has announced."""
        return self._messages.popleft()

    def send(self, packed: bytes) -> None:
        """Send a message to the owner.

        Raises:
            NotTaken: there is none, or it does not take it in time.
        """
        if self._owner is None or self._fault is not None:
            raise NotTaken("nobody owns the lane")
        self.was_slow = False
        self._left_s = self._patience_s
        if len(packed) <= _PIECE_BYTES:
            self._push(self._owner, header(len(packed)) + packed)
            return
        self._push(self._owner, header(len(packed)))
        pieces = memoryview(packed)
        for at in range(0, len(packed), _PIECE_BYTES):
            self._push(self._owner, pieces[at : at + _PIECE_BYTES])

    def turned_away(self) -> str:
        """Say how many peers were turned away and why the last one was, or nothing."""
        if not self._turned_away:
            return ""
        count = f"{self._turned_away} peers were" if self._turned_away > 1 else "a peer was"
        return f"{count} turned away: {self._reason}"

    def close(self) -> None:
        """Close the socket."""
        self._socket.close(0)

    def _take(self, identity: bytes, part: bytes) -> None:
        if identity == self._owner:
            self._hear(part)
        elif identity in self._strangers:
            self._audition(identity, part)
        elif not part:
            self._admit(identity)
        # Else it is the rest of one that was turned away.

    def _hear(self, part: bytes) -> None:
        if not part:
            self.is_closed = True
            return
        self._decoder.feed(part)
        self._gather()

    def _gather(self) -> None:
        try:
            while (message := self._decoder.take()) is not None:
                self._messages.append(message)
        except ProtocolFault as fault:
            self._fault = fault

    def _admit(self, identity: bytes) -> None:
        if self._owner is not None:
            self._turn_away(identity, "the lane has an owner")
            return
        if len(self._strangers) == _MOST_STRANGERS:
            self._turn_away(next(iter(self._strangers)), "too many came and said no Hello")
        self._strangers[identity] = Decoder(_HELLO_BYTES)
        with contextlib.suppress(NotTaken):  # it has left already, which will be told
            self._push(identity, OPENING)

    def _audition(self, identity: bytes, part: bytes) -> None:
        decoder = self._strangers[identity]
        if not part:
            self._turn_away(identity, "it closed its connection before it said Hello")
            return
        decoder.feed(part)
        try:
            message = decoder.take()
            if message is not None:
                self._check(message)
        except ProtocolFault as fault:
            self._turn_away(identity, str(fault))
        else:
            if message is not None:
                self._give_lane_to(identity, message)

    def _check(self, packed: bytes | bytearray) -> None:
        try:
            message = decode(packed, sender="worker")
        except RemoteWireError as error:
            raise ProtocolFault(str(error)) from error
        if not isinstance(message, Hello):
            raise ProtocolFault(f"{type(message).__name__} instead of Hello")
        if self._token is None or not hmac.compare_digest(message.token, self._token):
            raise ProtocolFault("its Hello does not carry the worker's token")

    def _give_lane_to(self, identity: bytes, hello: bytes | bytearray) -> None:
        self._owner, self._decoder = identity, self._strangers.pop(identity)
        self._messages.append(hello)
        self._decoder.max_bytes = LIMITS.message_bytes
        self._gather()
        with contextlib.suppress(OSError):
            Path(self._address.removeprefix("ipc://")).unlink()
        for stranger in list(self._strangers):
            self._turn_away(stranger, "the lane has an owner")

    def _turn_away(self, identity: bytes, reason: str) -> None:
        self._strangers.pop(identity, None)
        with contextlib.suppress(NotTaken):
            self._push(identity, b"")  # closes its connection
        self._turned_away += 1
        self._reason = reason
        now_s = time.monotonic()
        if now_s >= self._told_s + _TELL_EVERY_S:
            self._told_s = now_s
            facts = {"endpoint": self._address, "reason": reason, "so_far": self._turned_away}
            log.warning("turned a peer away from a lane", extra=facts)

    def _push(self, identity: bytes, piece: bytes | memoryview) -> None:
        """Give a peer some bytes."""
        try:
            self._socket.send(identity, _IDENTITY)
        except zmq.ZMQError as error:
            if error.errno != zmq.EAGAIN or identity != self._owner:
                raise NotTaken(str(error)) from error
            self._wait_for_room(identity)
        self._socket.send(piece, _NOBLOCK)

    def _wait_for_room(self, identity: bytes) -> None:
        """Send the identity as soon as the owner has taken some of what waits for it."""
        self.was_slow = True
        poll = select.poll()
        for descriptor in (self.fileno(), *self._heeded):
            poll.register(descriptor, select.POLLIN)
        began_s = time.monotonic()
        while (left_s := began_s + self._left_s - time.monotonic()) > 0:
            if why_not := self._why_not():
                raise NotTaken(why_not)
            self._socket.getsockopt(_EVENTS)  # notices that there is room
            try:
                self._socket.send(identity, _IDENTITY)
            except zmq.Again:
                poll.poll(left_s * 1000)
            except zmq.ZMQError as error:
                raise NotTaken(str(error)) from error
            else:
                # For all pieces together: one that takes each in the last moment is as bad.
                self._left_s -= time.monotonic() - began_s
                return
        self._fault = ProtocolFault("the worker does not take what it is sent")
        raise NotTaken(str(self._fault))


def _bound_socket(context: Context, address: str) -> zmq.Socket[bytes]:
    require_room()
    socket: zmq.Socket[bytes] | None = None
    try:
        socket = context.socket(zmq.STREAM)
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.RCVHWM, _PARTS)
        socket.setsockopt(zmq.SNDHWM, _PIECES)
        socket.bind(address)
    except zmq.ZMQError as error:
        if socket is not None:
            socket.close(0)
        raise OSError(error.errno, f"cannot open {address}: {error}") from error
    return socket
