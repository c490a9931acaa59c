"""An answer whose body comes in parts, sent as they come.

A part is taken only when the connection has taken the one before it, so a slow client makes the
plugin wait. A client that leaves cancels the run. When the body breaks off, so does the connection,
before the end of the chunked body: the client sees that the answer is not whole. Runs in the event
loop's thread.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from engine.http.protocol import CUT
from engine.model.event import BodyParts, BodyState

__all__ = ["WITHOUT_BODY", "PartsAnswer", "cut", "until_gone"]

WITHOUT_BODY = frozenset((204, 205, 304))

_PATIENCE_S = 0.1
"""The newest part waits so long for the run's end, so that it mostly goes out after the commit."""


class PartsAnswer(Response):
    """Sends head and parts; the connection is cut when they break off."""

    def __init__(self, status: int, headers: list[tuple[bytes, bytes]], parts: BodyParts) -> None:
        super().__init__(None, status)
        length = 0 if status in WITHOUT_BODY else parts.length
        self.raw_headers = list(headers)
        if length is not None and status not in {204, 304}:
            self.raw_headers.append((b"content-length", b"%d" % length))
        self._parts = parts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the answer."""
        changed = asyncio.Event()
        loop = asyncio.get_running_loop()
        self._parts.watch(lambda: _tell(loop, changed))
        gone = asyncio.ensure_future(until_gone(receive))
        gone.add_done_callback(lambda _: changed.set())
        has_body = scope["method"] != "HEAD" and self.status_code not in WITHOUT_BODY
        try:
            await send(
                {
                    "type": "http.response.start",
                    "status": self.status_code,
                    "headers": self.raw_headers,
                }
            )
            async for part in self._until_over(changed, gone):
                if part is BodyState.COMPLETE:
                    await send({"type": "http.response.body", "body": b""})
                elif part is BodyState.BROKEN:
                    await cut(scope, gone)
                elif has_body:
                    await send({"type": "http.response.body", "body": part, "more_body": True})
        finally:
            self._parts.abandon()
            gone.cancel()

    async def _until_over(
        self, changed: asyncio.Event, gone: asyncio.Future[None]
    ) -> AsyncIterator[bytes | BodyState]:
        """Yield parts and then how they ended; nothing more once the client has left."""
        with_last = False
        while not gone.done():
            changed.clear()
            part = self._parts.take(with_last=with_last)
            if part is BodyState.OPEN:
                with_last = not await _within(changed, None if with_last else _PATIENCE_S)
                continue
            with_last = False
            yield part
            if isinstance(part, BodyState):
                return


async def _within(changed: asyncio.Event, limit_s: float | None) -> bool:
    try:
        async with asyncio.timeout(limit_s):
            await changed.wait()
    except TimeoutError:
        return False
    return True


async def until_gone(receive: Receive) -> None:
    """Wait until the client has left, or has been answered."""
    while (await receive())["type"] != "http.disconnect":
        continue


async def cut(scope: Scope, gone: asyncio.Future[None]) -> None:
    """Close the connection once what was sent has left, and wait until that is so."""
    scope["extensions"][CUT]["now"]()
    await gone


def _tell(loop: asyncio.AbstractEventLoop, changed: asyncio.Event) -> None:
    with contextlib.suppress(RuntimeError):  # the loop has ended, and nobody waits in it
        loop.call_soon_threadsafe(changed.set)
