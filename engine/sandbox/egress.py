"""The proxy through which plugins reach the hosts they were granted, and nothing else does.

A worker has a network of its own with nothing in it but a loopback. On that it makes a listener,
which the server takes over (`engine.sandbox.listener`) and attaches here:

    plugin -> 127.0.0.1 in its namespace -> this service -> resolve, check, connect -> host

One thread with one asyncio loop serves all workers. Everything is bounded: connections of a worker
and of all, how fast they come, heads, times, memory a connection, look-ups, reports of refusals.
What is over a bound waits in the kernel's backlog of the worker's own listener.

`attach` and the handle's `close` may be called from any thread, after `start`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import resource
import socket
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial

from engine.errors import Stopping
from engine.model.grants import Grants
from engine.sandbox.conversation import Conversation, Patience
from engine.sandbox.dial import Connect, Dialler, Resolve, connect_to, resolve_name
from engine.sandbox.listener import check_listener
from engine.sandbox.pace import Pace
from engine.sandbox.upstream import Upstream
from engine.service import CrashHandler, Service

__all__ = ["Egress", "EgressHandle", "OnRefused", "OwnAddress"]

log = logging.getLogger(__name__)

OwnAddress = tuple[str, int] | Callable[[], tuple[str, int]]
OnRefused = Callable[[str, str], None]

_PATIENCE = Patience()
# Each takes two descriptors; the log and the files of rows must never lack one.
_MAX_CONNECTIONS = 1024
_DESCRIPTORS_PER_CONNECTION = 8
_LOOK_UPS = 2
_LOOK_UP_THREADS = 8
_START_S = 10.0
_ACCEPT_BURST = 128
_ACCEPTS_PER_S = 200.0
_PAUSE_S = 0.5
_REPORT_BURST = 10
_REPORTS_PER_S = 0.5


class EgressHandle:
    """The way out of one worker, until it is closed; any thread.

    It keeps the worker's network namespace alive, so whoever ends the worker closes it.
    """

    def __init__(self, label: str, close: Callable[[], None]) -> None:
        self._label = label
        self._close = close

    def __repr__(self) -> str:
        """Name the worker."""
        return f"<EgressHandle of {self._label}>"

    def close(self) -> None:
        """End all connections of the worker and take no more; does not wait, may be repeated."""
        self._close()


class Egress(Service):
    """The proxy of all workers.

    Args:
        on_refused: gets label and text of refused requests, in the loop's thread; must not block.
        on_crash: as for every service.
        resolve: looks a name up; may block.
        connect: to a checked address.
        patience: with every connection.
        max_connections: of a worker at a time.
        upstream: the proxy that this server has to use, for the operator's own hosts.
    """

    def __init__(  # noqa: PLR0913  whatever tests replace
        self,
        on_refused: OnRefused,
        on_crash: CrashHandler | None = None,
        *,
        resolve: Resolve = resolve_name,
        connect: Connect = connect_to,
        patience: Patience = _PATIENCE,
        max_connections: int = 64,
        upstream: Upstream | None = None,
    ) -> None:
        super().__init__("egress", on_crash)
        self._on_refused = on_refused
        self._patience = patience
        self._max_connections = max_connections
        self._pool = ThreadPoolExecutor(_LOOK_UP_THREADS, "egress-look-up")
        self._dialler = Dialler(resolve, connect, self._pool, upstream)
        self._loop: Future[asyncio.AbstractEventLoop] = Future()
        # The loop's thread alone uses these.
        self._room = asyncio.Semaphore(0)
        self._stopped = asyncio.Event()
        self._outlets: set[asyncio.Task[None]] = set()

    def attach(
        self,
        listener: socket.socket,
        token: str,
        grants: Grants,
        label: str,
        own_address: OwnAddress,
    ) -> EgressHandle:
        """Serve a worker from now on.

        Args:
            listener: of the worker; belongs to the service from now on, also on failure.
            token: that its requests carry; ASCII.
            grants: of its trigger.
            label: of its trigger, for `on_refused`.
            own_address: where this server listens, for `net=self`.

        Raises:
            ProtocolFault: the listener is none, or others than its machine reach it.
            Stopping: the service has been stopped.
        """
        try:
            check_listener(listener)
            listener.setblocking(False)
            loop = self._loop.result(_START_S)
            outlet = _Outlet(label, listener, self._max_connections, self._room)
            conversation = self._conversation(outlet, token, grants, own_address)
            loop.call_soon_threadsafe(self._adopt, outlet, conversation)
        except RuntimeError as error:
            listener.close()
            raise Stopping from error
        except BaseException:
            listener.close()
            raise
        return EgressHandle(label, lambda: _close_in(loop, outlet))

    def run(self) -> None:
        """Serve until the stop."""
        try:
            with asyncio.Runner() as runner:
                runner.run(self._serve())
        finally:
            # A look-up that hangs ends with the system's resolver; nobody waits for it here.
            self._pool.shutdown(wait=False, cancel_futures=True)

    def wake(self) -> None:
        """Let the loop see the stop."""
        if self._loop.done():
            with contextlib.suppress(RuntimeError):  # it has closed already
                self._loop.result().call_soon_threadsafe(self._stopped.set)

    async def _serve(self) -> None:
        descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        room = min(_MAX_CONNECTIONS, descriptors // _DESCRIPTORS_PER_CONNECTION)
        self._room = asyncio.Semaphore(max(1, room))
        self._loop.set_result(asyncio.get_running_loop())
        if self.is_stopping:
            return
        await self._stopped.wait()
        for task in self._outlets:
            task.cancel()
        await asyncio.gather(*self._outlets, return_exceptions=True)

    def _conversation(
        self, outlet: _Outlet, token: str, grants: Grants, own_address: OwnAddress
    ) -> Conversation:
        own = own_address if callable(own_address) else lambda: own_address
        return Conversation(
            token=token,
            grants=grants,
            own=own,
            dialler=self._dialler,
            turn=asyncio.Semaphore(_LOOK_UPS),
            patience=self._patience,
            on_refused=lambda text: outlet.report(text, self._on_refused),
        )

    def _adopt(self, outlet: _Outlet, conversation: Conversation) -> None:
        if self.is_stopping or outlet.is_closed:
            outlet.listener.close()
            return
        outlet.task = asyncio.get_running_loop().create_task(outlet.serve(conversation))
        self._outlets.add(outlet.task)
        outlet.task.add_done_callback(self._outlets.discard)


class _Outlet:
    """The listener of one worker and its connections; the loop's thread."""

    def __init__(
        self, label: str, listener: socket.socket, max_connections: int, room: asyncio.Semaphore
    ) -> None:
        self.label = label
        self.listener = listener
        self.is_closed = False
        self.task: asyncio.Task[None] | None = None
        self._own_room = asyncio.Semaphore(max_connections)
        self._room = room
        now_s = time.monotonic()
        self._accepts = Pace(_ACCEPT_BURST, _ACCEPTS_PER_S, now_s)
        self._reports = Pace(_REPORT_BURST, _REPORTS_PER_S, now_s)
        self._unreported = 0

    def close(self) -> None:
        """End everything."""
        self.is_closed = True
        if self.task is not None:
            self.task.cancel()

    def report(self, text: str, on_refused: OnRefused) -> None:
        """Pass a refusal on, unless too many came before it."""
        if not self._reports.may(time.monotonic()):
            self._unreported += 1
            return
        left_out, self._unreported = self._unreported, 0
        on_refused(self.label, f"{text} (and {left_out} more before)" if left_out else text)

    async def serve(self, conversation: Conversation) -> None:
        """Take connections until cancelled."""
        async with asyncio.TaskGroup() as connections:
            # Closed before the connections are, so that none comes when they end.
            with self.listener:
                while True:
                    await self._own_room.acquire()
                    client = await self._accepted()
                    task = connections.create_task(self._hold(client, conversation))
                    # A task that is cancelled before it begins runs no code of its own.
                    task.add_done_callback(partial(self._let_go, client))

    async def _accepted(self) -> socket.socket:
        """Return the next connection, which holds a place in the room of all workers."""
        while True:
            await asyncio.sleep(self._accepts.wait_s(time.monotonic()))
            # Nobody holds a place while nobody comes, and nobody a descriptor without a place.
            await self._arrival()
            await self._room.acquire()
            try:
                client, _ = self.listener.accept()
            except OSError as error:
                self._room.release()
                # Out of descriptors, or a connection that went away while it waited.
                log.debug("cannot take a connection", extra={"of": self.label, "why": str(error)})
                await asyncio.sleep(_PAUSE_S)
                continue
            client.setblocking(False)
            self._accepts.may(time.monotonic())
            return client

    async def _arrival(self) -> None:
        """Wait until a connection waits."""
        loop = asyncio.get_running_loop()
        arrived = asyncio.Event()
        loop.add_reader(self.listener, arrived.set)
        try:
            await arrived.wait()
        finally:
            loop.remove_reader(self.listener)

    async def _hold(self, client: socket.socket, conversation: Conversation) -> None:
        try:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await conversation.hold(client)
        except* OSError as broken:  # TimeoutError as well
            log.debug("a connection broke", extra={"of": self.label, "why": str(broken)})
        except* Exception:
            log.exception("a connection failed", extra={"of": self.label})

    def _let_go(self, client: socket.socket, _: asyncio.Task[None]) -> None:
        client.close()
        self._own_room.release()
        self._room.release()


def _close_in(loop: asyncio.AbstractEventLoop, outlet: _Outlet) -> None:
    with contextlib.suppress(RuntimeError):  # the service has ended, and with it the outlet
        loop.call_soon_threadsafe(outlet.close)
