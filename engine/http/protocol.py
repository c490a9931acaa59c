"""uvicorn's HTTP/1.1 protocol with bounds on what a client may leave unfinished.

uvicorn bounds neither the size of a request's head, nor the time until it is complete, nor the
time a client takes to read its answer; each of them would let one client hold memory or a
connection for ever. All methods run in the event loop's thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from engine.http.limits import EdgeLimits

__all__ = ["CUT", "GuardedProtocol"]

CUT = "bulkhead.cut"
"""Extension of the scope: its `now` closes the connection after what has been sent."""

_TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
    b"content-length: 0\r\nconnection: close\r\n\r\n"
)


class HeadTooLarge(Exception):
    """Raised inside the parser, which turns it into its own error."""


class GuardedProtocol(HttpToolsProtocol):
    """One client connection; `limits` are those of the edge, `on_lost` is called at its end."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        loop: asyncio.AbstractEventLoop,
        limits: EdgeLimits,
        on_lost: Callable[[], object],
    ) -> None:
        super().__init__(config, server_state, {}, loop)
        self._limits = limits
        self._on_lost = on_lost
        self._head_bytes = 0
        self._unparsed_bytes = 0
        self._head_timer: asyncio.TimerHandle | None = None
        self._write_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn narrows it
        """Start the clock for the first request's head."""
        super().connection_made(transport)
        self._watch_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop all clocks."""
        super().connection_lost(exc)
        self._unset_keepalive_if_required()
        self._unwatch_head()
        self._unwatch_write()
        self._on_lost()

    def data_received(self, data: bytes) -> None:
        """Parse, and count what the parser holds back because it is not complete."""
        self._unparsed_bytes += len(data)
        held_before = self._unparsed_bytes - len(data)
        super().data_received(data)
        if self.transport.is_closing():
            return
        # A first chunk may be large and hold the end of a body; only what follows it is counted.
        if held_before and self._unparsed_bytes > self._limits.max_head_bytes:
            self._refuse_head()
            return
        self._watch_head()

    def on_message_begin(self) -> None:
        """Count the head from its start."""
        super().on_message_begin()
        self.scope["extensions"] = {CUT: {"now": self.transport.close}}
        self._head_bytes = 0

    def on_url(self, url: bytes) -> None:
        """Take a part of the request's target."""
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header, or a trailer after the body."""
        self._count(len(name) + len(value))
        super().on_header(name, value)

    def on_body(self, body: bytes) -> None:
        """Take a part of the body."""
        self._unparsed_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Take note that the parser holds nothing back."""
        self._unparsed_bytes = 0
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Answer what the parser refused; a head that is too large has its own status."""
        if self._head_bytes > self._limits.max_head_bytes:
            self._refuse_head()
            return
        super().send_400_response(msg)

    def pause_writing(self) -> None:
        """Start the clock for a client that does not take its answer."""
        super().pause_writing()
        self._write_timer = self.loop.call_later(self._limits.stalled_write_s, self.transport.abort)

    def resume_writing(self) -> None:
        """Stop that clock."""
        super().resume_writing()
        self._unwatch_write()

    def _count(self, size: int) -> None:
        self._unparsed_bytes = 0
        self._head_bytes += size
        if self._head_bytes > self._limits.max_head_bytes:
            raise HeadTooLarge

    def _refuse_head(self) -> None:
        self.transport.write(_TOO_LARGE)
        self.transport.close()

    def _watch_head(self) -> None:
        """Keep the clock running while no request is being served, and only then."""
        cycle: RequestResponseCycle | None = self.cycle  # None before the first request
        if cycle is not None and not cycle.response_complete:
            self._unwatch_head()
        elif self._head_timer is None:
            self._head_timer = self.loop.call_later(self._limits.head_s, self._give_up)

    def _give_up(self) -> None:
        self._head_timer = None
        self.transport.close()

    def _unwatch_head(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _unwatch_write(self) -> None:
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None
