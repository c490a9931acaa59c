"""Accept connections, look at their first bytes, and hand them to the protocol they speak.

One port serves every protocol, so nothing may be read before the protocol is known: the first
bytes are only peeked at. HTTP/1.1 goes on to the protocol factory; HTTP/2, which Arrow Flight
clients speak, is not served and closed. A connection that stays silent costs one socket and one
waiting task until its time is up.

All methods run in the event loop's thread.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections.abc import Callable
from enum import Enum

from engine.http.limits import EdgeLimits

__all__ = ["Listener", "Spoken", "recognise"]

log = logging.getLogger(__name__)

_HTTP2_PREFACE = b"PRI * HTTP/2.0"
_REFUSAL = (
    b"HTTP/1.1 503 Service Unavailable\r\n"
    b"retry-after: 1\r\ncontent-length: 20\r\nconnection: close\r\n\r\ntoo many connections"
)
_OUT_OF_RESOURCES = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM))
_PAUSE_S = 0.25


class Spoken(Enum):
    """What a connection speaks, as far as its first bytes tell."""

    UNDECIDED = "undecided"
    HTTP1 = "http/1"
    HTTP2 = "http/2"
    NOTHING = "nothing"


def recognise(first: bytes) -> Spoken:
    """Tell the protocol from the first bytes; anything that is not HTTP/2 is for the parser."""
    if first.startswith(_HTTP2_PREFACE):
        return Spoken.HTTP2
    if _HTTP2_PREFACE.startswith(first):
        return Spoken.UNDECIDED
    return Spoken.HTTP1


class Listener:
    """The accept loop over one listening socket.

    Args:
        sock: listening, non-blocking; closed by `close`.
        make_protocol: called once for each HTTP/1.1 connection.
        open_connections: how many connections the protocols hold at present.
        limits: `max_connections` and `first_byte_s` are used.
    """

    def __init__(
        self,
        sock: socket.socket,
        make_protocol: Callable[[], asyncio.Protocol],
        open_connections: Callable[[], int],
        limits: EdgeLimits,
    ) -> None:
        self._sock = sock
        self._make_protocol = make_protocol
        self._open_connections = open_connections
        self._limits = limits
        self._admissions: set[asyncio.Task[None]] = set()

    def __repr__(self) -> str:
        """Describe the listener in a sentence."""
        return f"<Listener: {len(self._admissions)} connections not yet recognised>"

    async def serve(self) -> None:
        """Accept until cancelled."""
        while True:
            try:
                connection, _ = await asyncio.get_running_loop().sock_accept(self._sock)
            except OSError as error:
                if error.errno in _OUT_OF_RESOURCES:
                    log.warning("cannot accept connections", extra={"reason": str(error)})
                    await asyncio.sleep(_PAUSE_S)
                continue
            self._take(connection)

    async def close(self) -> None:
        """Close the listening socket and every connection that is not yet recognised."""
        self._sock.close()
        waiting = tuple(self._admissions)
        for admission in waiting:
            admission.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)

    def _take(self, connection: socket.socket) -> None:
        if len(self._admissions) + self._open_connections() >= self._limits.max_connections:
            _refuse(connection)
            return
        admission = asyncio.get_running_loop().create_task(self._admit(connection))
        self._admissions.add(admission)
        admission.add_done_callback(self._admissions.discard)

    async def _admit(self, connection: socket.socket) -> None:
        try:
            connection.setblocking(False)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            async with asyncio.timeout(self._limits.first_byte_s):
                spoken = await _first_words(connection)
        except (OSError, TimeoutError) as error:
            log.debug("connection closed before a request", extra={"reason": repr(error)})
            connection.close()
            return
        except asyncio.CancelledError:
            connection.close()
            raise
        await self._hand_over(connection, spoken)

    async def _hand_over(self, connection: socket.socket, spoken: Spoken) -> None:
        if spoken is not Spoken.HTTP1:
            log.debug("connection refused", extra={"spoken": spoken.value})
            connection.close()
            return
        loop = asyncio.get_running_loop()
        try:
            await loop.connect_accepted_socket(self._make_protocol, connection)
        except OSError as error:
            log.debug("connection lost at once", extra={"reason": repr(error)})
            connection.close()


async def _first_words(connection: socket.socket) -> Spoken:
    spoken = Spoken.UNDECIDED
    while spoken is Spoken.UNDECIDED:
        try:
            first = connection.recv(len(_HTTP2_PREFACE), socket.MSG_PEEK)
        except BlockingIOError:
            await _readable(connection)
            continue
        if not first:
            return Spoken.NOTHING
        spoken = recognise(first)
        if spoken is Spoken.UNDECIDED:
            await _readable_beyond(connection, len(first))
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)
    return spoken


async def _readable_beyond(connection: socket.socket, known: int) -> None:
    """Wait until there is more than was seen, or the other side has ended.

    Bytes that were only peeked at keep the socket readable: without the mark the wait would spin.
    """
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, len(_HTTP2_PREFACE))
    await _readable(connection)
    if len(connection.recv(len(_HTTP2_PREFACE), socket.MSG_PEEK)) <= known:
        raise ConnectionResetError("ended within its first word")


async def _readable(connection: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    readable: asyncio.Future[None] = loop.create_future()
    loop.add_reader(connection, _settle, readable)
    try:
        await readable
    finally:
        loop.remove_reader(connection)


def _settle(readable: asyncio.Future[None]) -> None:
    if not readable.done():
        readable.set_result(None)


def _refuse(connection: socket.socket) -> None:
    log.warning("connection refused: too many are open")
    try:
        connection.setblocking(False)
        connection.send(_REFUSAL)
        connection.shutdown(socket.SHUT_WR)
    except OSError as error:
        log.debug("refused connection was gone", extra={"reason": repr(error)})
    finally:
        connection.close()
