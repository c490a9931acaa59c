"""One connection of a plugin to the proxy: head, right, way, connection, bytes, end.

    400 411 431   the request could be understood in more than one way, or not at all
    407           without the worker's token
    403           not granted; reason and body say which grant is missing
    408           no whole head in time
    502 504       the host cannot be reached, or not in time

The reason stands in the status line too: it is all that most clients show of a refused tunnel.
All coroutines run in the loop of the egress service.
"""

from __future__ import annotations

import asyncio
import hmac
import socket
from collections.abc import Callable
from dataclasses import dataclass

from engine.model.grants import Grants
from engine.sandbox.dial import Dialler
from engine.sandbox.proxy_request import ProxyRequest, Refusal, parse_head
from engine.sandbox.reach import choose_route
from engine.sandbox.relay import Idle, exchange, read_head, say_goodbye, tunnel

__all__ = ["Conversation", "Patience"]

_USER = b"bulkhead:"
_ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"
_REASONS = {407: "Proxy Authentication Required"}
_FIRST_SERVER_STATUS = 500


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a connection may keep us waiting, in seconds.

    Args:
        head_s: for the head of its request.
        idle_s: without a byte either way.
    """

    head_s: float = 10.0
    idle_s: float = 300.0


@dataclass(frozen=True, slots=True)
class Conversation:
    """What all connections of one worker have in common.

    Args:
        token: that its requests carry.
        grants: of its trigger.
        own: tells where this server listens.
        dialler: makes connections.
        turn: bounds its look-ups.
        patience: with it.
        on_refused: gets the text of each refusal.
    """

    token: str
    grants: Grants
    own: Callable[[], tuple[str, int]]
    dialler: Dialler
    turn: asyncio.Semaphore
    patience: Patience
    on_refused: Callable[[str], None]

    async def hold(self, client: socket.socket) -> None:
        """Serve one connection to its end; whoever calls closes it.

        Raises:
            OSError, ExceptionGroup: of OSErrors; a connection broke.
            TimeoutError: nothing happened for too long.
        """
        try:
            async with asyncio.timeout(self.patience.head_s):
                received = await read_head(client)
        except TimeoutError:
            await self._refuse(client, "", Refusal(408, "no whole request head came in time"))
            return
        if received is None:
            await self._refuse(client, "", Refusal(400, "the head of a request has at most 16 KiB"))
            return
        head, rest = received
        request = parse_head(head)
        if isinstance(request, Refusal):
            await self._refuse(client, "", request)
            return
        await self._serve(client, request, rest)

    async def _serve(self, client: socket.socket, request: ProxyRequest, rest: bytes) -> None:
        host = await self._connected(request, rest)
        if isinstance(host, Refusal):
            await self._refuse(client, f"{request.target}: ", host)
            return
        with host:
            async with asyncio.timeout(self.patience.idle_s) as timeout:
                idle = Idle(timeout, self.patience.idle_s)
                if request.is_tunnel:
                    await _send(client, _ESTABLISHED)
                    await _send(host, rest)
                    await tunnel(client, host, idle)
                else:
                    await _send(host, request.head + rest)
                    await exchange(client, host, request.body_bytes - len(rest), idle)

    async def _connected(self, request: ProxyRequest, rest: bytes) -> socket.socket | Refusal:
        sent = request.credentials
        if not hmac.compare_digest(sent, _USER + self.token.encode("ascii")):
            return Refusal(407, "the request does not carry this worker's token")
        if not request.is_tunnel and len(rest) > request.body_bytes:
            return Refusal(400, "one connection takes one request")
        own = self.own()
        route = choose_route(request, self.grants, own)
        if isinstance(route, Refusal):
            return route
        return await self.dialler.dial(route, self.grants, self.turn, own[1])

    async def _refuse(self, client: socket.socket, target: str, refusal: Refusal) -> None:
        if refusal.status < _FIRST_SERVER_STATUS:
            self.on_refused(f"refused {target}{refusal.text}")
        body = f"{target}{refusal.text}\n".encode("ascii", "replace")
        reason = _REASONS.get(refusal.status, refusal.text)
        lines = [
            f"HTTP/1.1 {refusal.status} {reason}",
            "Content-Type: text/plain; charset=us-ascii",
            f"Content-Length: {len(body)}",
            "Connection: close",
        ]
        if refusal.status == 407:  # noqa: PLR2004  the status says it
            lines.append('Proxy-Authenticate: Basic realm="bulkhead"')
        head = "\r\n".join([*lines, "", ""]).encode("ascii", "replace")
        async with asyncio.timeout(self.patience.head_s):
            await _send(client, head + body)
            await say_goodbye(client)


async def _send(connection: socket.socket, content: bytes) -> None:
    if content:
        await asyncio.get_running_loop().sock_sendall(connection, content)
