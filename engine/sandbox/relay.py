"""Passing bytes between two connections, a chunk at a time, until both have ended.

Nothing is read before what was read is sent, so a side that is slow holds the other back and a
pair takes one chunk of memory a direction. An idle pair is ended by the time limit around it.

All coroutines run in the loop of the egress service.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket

from engine.sandbox.proxy_answer import closing, is_interim
from engine.sandbox.proxy_request import HEAD_END, MAX_HEAD_BYTES

__all__ = ["Idle", "exchange", "read_head", "say_goodbye", "tunnel"]

_CHUNK_BYTES = 64 * 1024
# Beyond it an answer is passed on as it comes.
_MAX_ANSWER_HEAD_BYTES = 64 * 1024
_GOODBYE_S = 1.0


class Idle:
    """A time limit that begins anew with every chunk.

    Args:
        timeout: that stands around the waits.
        limit_s: without a chunk.
    """

    def __init__(self, timeout: asyncio.Timeout, limit_s: float) -> None:
        self._timeout = timeout
        self._limit_s = limit_s

    def touch(self) -> None:
        """Begin anew, unless it is too late."""
        if not self._timeout.expired():
            self._timeout.reschedule(asyncio.get_running_loop().time() + self._limit_s)


async def read_head(client: socket.socket) -> tuple[bytes, bytes] | None:
    """Return the head of a request and what came behind it, or None when it is too long.

    Raises:
        OSError: the connection broke or ended.
    """
    loop = asyncio.get_running_loop()
    received = b""
    while HEAD_END not in received:
        if len(received) >= MAX_HEAD_BYTES:
            return None
        chunk = await loop.sock_recv(client, MAX_HEAD_BYTES - len(received))
        if not chunk:
            raise ConnectionAbortedError("the client ended before its request")
        received += chunk
    head, _, rest = received.partition(HEAD_END)
    return head + HEAD_END, rest


async def tunnel(client: socket.socket, host: socket.socket, idle: Idle) -> None:
    """Pass bytes both ways until both sides have ended.

    Raises:
        ExceptionGroup: of OSErrors; a connection broke.
    """
    async with asyncio.TaskGroup() as group:
        group.create_task(_pass_on(client, host, idle))
        group.create_task(_pass_on(host, client, idle))


async def exchange(client: socket.socket, host: socket.socket, body_bytes: int, idle: Idle) -> None:
    """Pass on the rest of one request's body and then the answer until its end.

    Raises:
        ExceptionGroup: of OSErrors; a connection broke, or the client sent a second request.
    """
    async with asyncio.TaskGroup() as group:
        request = group.create_task(_pass_body(client, host, body_bytes, idle))
        await _pass_answer(host, client, idle)
        request.cancel()


async def say_goodbye(client: socket.socket) -> None:
    """End a connection so that what was answered arrives.

    A connection closed with bytes unread is reset, and the answer would be lost with it.
    """
    loop = asyncio.get_running_loop()
    with contextlib.suppress(OSError, TimeoutError):
        client.shutdown(socket.SHUT_WR)
        async with asyncio.timeout(_GOODBYE_S):
            while True:
                if not await loop.sock_recv(client, _CHUNK_BYTES):
                    return
                # A receive that finds bytes does not wait, so others have to be let in.
                await asyncio.sleep(0)


async def _pass_on(source: socket.socket, sink: socket.socket, idle: Idle) -> None:
    loop = asyncio.get_running_loop()
    while chunk := await loop.sock_recv(source, _CHUNK_BYTES):
        await loop.sock_sendall(sink, chunk)
        idle.touch()
        await asyncio.sleep(0)
    sink.shutdown(socket.SHUT_WR)


async def _pass_answer(host: socket.socket, client: socket.socket, idle: Idle) -> None:
    loop = asyncio.get_running_loop()
    received = b""
    is_last = False
    while not is_last and len(received) < _MAX_ANSWER_HEAD_BYTES:
        head, end, rest = received.partition(HEAD_END)
        if end:
            is_last = not is_interim(head + end)
            await loop.sock_sendall(client, closing(head + end))
            received = rest
        elif chunk := await loop.sock_recv(host, _CHUNK_BYTES):
            received += chunk
            idle.touch()
        else:
            break
    await loop.sock_sendall(client, received)
    await _pass_on(host, client, idle)


async def _pass_body(
    client: socket.socket, host: socket.socket, body_bytes: int, idle: Idle
) -> None:
    loop = asyncio.get_running_loop()
    while body_bytes:
        chunk = await loop.sock_recv(client, min(_CHUNK_BYTES, body_bytes))
        if not chunk:
            raise ConnectionAbortedError("the client ended within its request")
        await loop.sock_sendall(host, chunk)
        body_bytes -= len(chunk)
        idle.touch()
        await asyncio.sleep(0)
    if await loop.sock_recv(client, 1):
        raise ConnectionAbortedError("the client sent a second request")
