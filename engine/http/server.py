"""The HTTP server as a service: one thread with its own event loop around one application.

`start` binds and listens in the owner's thread, so that a taken address is its error and the
address is known when it returns. Everything else runs in the service's thread. A stop refuses
new connections, closes resting ones at once, lets running requests finish within the grace of
the limits, and then cuts what is left.
"""

from __future__ import annotations

import asyncio
import logging
import resource
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from email.utils import formatdate

import uvloop
from starlette.types import ASGIApp
from uvicorn.config import Config
from uvicorn.server import ServerState

from engine.http.limits import EdgeLimits
from engine.http.listener import Listener
from engine.http.protocol import GuardedProtocol
from engine.service import CrashHandler, Service

__all__ = ["HttpServer"]

log = logging.getLogger(__name__)

_BACKLOG = 1024
_BLOCKING_THREADS = 4


class HttpServer(Service):
    """Serves an ASGI application over HTTP/1.1.

    Args:
        app: called in the service's thread; blocking work that it hands to the loop's default
            executor gets one of a few threads.
        bind: host (name or address) and port; port 0 takes a free one.
        limits: what one client may take.
    """

    def __init__(
        self,
        app: ASGIApp,
        bind: tuple[str, int],
        limits: EdgeLimits,
        on_crash: CrashHandler | None = None,
    ) -> None:
        super().__init__("http", on_crash)
        self._app = app
        self._bind = bind
        self._limits = limits
        self._state = ServerState()
        self._gone = asyncio.Event()  # a connection has ended; used in the loop only
        self._sock: socket.socket | None = None
        self._address: tuple[str, int] | None = None
        self._lock = threading.Lock()  # guards _loop and _stopping, set in run, read in wake
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None

    @property
    def address(self) -> tuple[str, int]:
        """The host and port that are listened on; known after `start`."""
        if self._address is None:
            raise RuntimeError("the server has not been started")
        return self._address

    def start(self) -> None:
        """Listen, then start the thread.

        Raises:
            OSError: the address is taken, unknown or not allowed.
        """
        self._sock = _listen(self._bind)
        host, port = self._sock.getsockname()[:2]
        self._address = (host, port)
        super().start()

    def run(self) -> None:
        """Serve until a stop is requested."""
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(self._serve())

    def wake(self) -> None:
        """Tell the loop to look at the request to stop; any thread."""
        with self._lock:
            if self._loop is not None and self._stopping is not None:
                self._loop.call_soon_threadsafe(self._stopping.set)

    async def _serve(self) -> None:
        loop = asyncio.get_running_loop()
        pool = ThreadPoolExecutor(_BLOCKING_THREADS, thread_name_prefix="http-blocking")
        loop.set_default_executor(pool)
        stopping = asyncio.Event()
        with self._lock:
            self._loop, self._stopping = loop, stopping
        listener = self._listener(loop)
        accepting = loop.create_task(listener.serve())
        dating = loop.create_task(self._keep_date())
        try:
            if not self.is_stopping:
                await stopping.wait()
        finally:
            with self._lock:
                self._loop = self._stopping = None
            accepting.cancel()
            await asyncio.gather(accepting, return_exceptions=True)
            await listener.close()
            await self._finish()
            dating.cancel()

    def _listener(self, loop: asyncio.AbstractEventLoop) -> Listener:
        if self._sock is None:
            raise RuntimeError("the server has not been started")
        config = _uvicorn_config(self._app, self._limits)
        limits = replace(self._limits, max_connections=_affordable(self._limits.max_connections))
        return Listener(
            self._sock,
            lambda: GuardedProtocol(config, self._state, loop, limits, self._gone.set),
            lambda: len(self._state.connections),
            limits,
        )

    async def _keep_date(self) -> None:
        while True:
            self._state.default_headers = [(b"date", formatdate(usegmt=True).encode())]
            await asyncio.sleep(1)

    async def _finish(self) -> None:
        """Let running requests end, then cut."""
        for connection in tuple(self._state.connections):
            connection.shutdown()
        try:
            async with asyncio.timeout(self._limits.grace_s):
                await self._all_gone()
        except TimeoutError:
            log.warning("requests cut off by the stop", extra={"requests": len(self._state.tasks)})
        for connection in tuple(self._state.connections):
            connection.transport.abort()
        for task in tuple(self._state.tasks):
            task.cancel()
        await asyncio.gather(*self._state.tasks, return_exceptions=True)

    async def _all_gone(self) -> None:
        while self._state.connections:
            self._gone.clear()
            await self._gone.wait()
        # A request whose client has left is still running.
        await asyncio.gather(*self._state.tasks, return_exceptions=True)


def _uvicorn_config(app: ASGIApp, limits: EdgeLimits) -> Config:
    config = Config(
        app,
        http=GuardedProtocol,
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        # Declared as int, but only ever handed to `call_later`.
        timeout_keep_alive=limits.keep_alive_s,  # type: ignore[arg-type]
    )
    config.load()
    return config


def _affordable(max_connections: int) -> int:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return max_connections
    return min(max_connections, max(soft // 2, 1))


def _listen(bind: tuple[str, int]) -> socket.socket:
    host, port = bind
    known = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    # A name may have several addresses; clients of `localhost` mostly mean 127.0.0.1.
    family, kind, protocol, _, address = min(known, key=lambda found: found[0] != socket.AF_INET)
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
        sock.listen(_BACKLOG)
    except OSError:
        sock.close()
        raise
    return sock
