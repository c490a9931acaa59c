"""Connecting for a worker: names are resolved here, and what was checked is what is connected.

Nothing resolves a name twice, so an owner of a name cannot show one address to the check and
another to the connection. A connection to an address of this very machine is refused as well,
whatever it looks like: from here it would reach what the machine offers to itself only.

All coroutines run in the loop of the egress service. Looking a name up blocks a thread of a small
pool; a look-up that is given up goes on there until the system's resolver ends it.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Executor, Future
from ipaddress import IPv4Address

from engine.model.grants import Grants
from engine.sandbox.addresses import Address, parse_address
from engine.sandbox.proxy_request import Refusal
from engine.sandbox.reach import Route, ToAddress, ToName, ToServer, is_operators, reachable
from engine.sandbox.upstream import Upstream, through

__all__ = ["Connect", "Dialler", "Resolve", "connect_to", "is_of_this_machine", "resolve_name"]

Resolve = Callable[[str], Sequence[str]]
Connect = Callable[[Address, int], Awaitable[socket.socket]]

_RESOLVE_S = 5.0
_CONNECT_S = 10.0
_MAX_ADDRESSES = 4
_MAX_ANSWERS = 16


class Dialler:
    """Makes the connections of all workers.

    Args:
        resolve: a name to addresses; may block, raises OSError.
        connect: to one address; raises OSError.
        pool: where `resolve` runs.
        upstream: the proxy that this server has to use, for the operator's own hosts.
    """

    def __init__(
        self, resolve: Resolve, connect: Connect, pool: Executor, upstream: Upstream | None = None
    ) -> None:
        self._resolve = resolve
        self._upstream = upstream
        self._connect = connect
        self._pool = pool

    async def dial(
        self, route: Route, grants: Grants, turn: asyncio.Semaphore, own_port: int
    ) -> socket.socket | Refusal:
        """Return a connection, or what to answer.

        Args:
            route: as chosen.
            grants: of the trigger.
            turn: to look up names; bounds what one worker takes of the pool.
            own_port: of this server, which only `ToServer` leads to.
        """
        upstream = self._upstream_for(route, grants)
        way: Route = route if upstream is None else ToServer(upstream.host, upstream.port)
        addresses = await self._addresses(way, grants, turn)
        if isinstance(addresses, Refusal):
            return addresses
        is_to_own_port = way.port == own_port and not isinstance(route, ToServer)
        if is_to_own_port and any(map(is_of_this_machine, addresses)):
            return Refusal(403, "this server is reached as localhost, with the grant net=self")
        try:
            async with asyncio.timeout(_CONNECT_S):
                connection = await self._first(addresses, way.port)
                return await _tunnelled(connection, upstream, route)
        except TimeoutError:
            return Refusal(504, "the host did not take the connection in time")
        except OSError as error:
            return Refusal(502, f"cannot connect to the host: {error.strerror or error}")

    def _upstream_for(self, route: Route, grants: Grants) -> Upstream | None:
        if self._upstream is None or isinstance(route, ToServer):
            return None
        host = _host(route)
        is_its = is_operators(host, route.port, grants) and self._upstream.takes(host)
        return self._upstream if is_its else None

    async def _addresses(
        self, route: Route, grants: Grants, turn: asyncio.Semaphore
    ) -> Sequence[Address] | Refusal:
        match route:
            case ToAddress(address):
                return (address,)
            case ToServer(host):
                bound = parse_address(host)
                return (bound,) if bound is not None else await self._look_up(host, turn)
            case ToName(name):
                found = await self._look_up(name, turn)
                if isinstance(found, Refusal):
                    return found
                own = frozenset(filter(is_of_this_machine, found))
                return reachable(found, own, route, grants)

    async def _look_up(self, name: str, turn: asyncio.Semaphore) -> Sequence[Address] | Refusal:
        try:
            async with asyncio.timeout(_RESOLVE_S):
                await turn.acquire()
                texts = await asyncio.wrap_future(self._submit(name, turn))
        except TimeoutError:
            return Refusal(504, f"{name} was not resolved in time")
        except OSError as error:
            return Refusal(502, f"{name} cannot be resolved: {error.strerror or error}")
        addresses = (parse_address(text) for text in texts[:_MAX_ANSWERS])
        return tuple(address for address in addresses if address is not None)

    def _submit(self, name: str, turn: asyncio.Semaphore) -> Future[Sequence[str]]:
        """Begin a look-up that gives its turn back when it ends, however long it was waited for."""
        loop = asyncio.get_running_loop()

        def give_back(_: Future[Sequence[str]]) -> None:
            with contextlib.suppress(RuntimeError):  # the loop may have closed meanwhile
                loop.call_soon_threadsafe(turn.release)

        look_up = self._pool.submit(self._resolve, name)
        look_up.add_done_callback(give_back)
        return look_up

    async def _first(self, addresses: Sequence[Address], port: int) -> socket.socket:
        failure = OSError("it has no address")
        for address in addresses[:_MAX_ADDRESSES]:
            try:
                return await self._connect(address, port)
            except OSError as error:
                failure = error
        raise failure


def _host(route: Route) -> str:
    match route:
        case ToAddress(address):
            return str(address)
        case ToServer(host):
            return host
        case ToName(name):
            return name


async def _tunnelled(
    connection: socket.socket, upstream: Upstream | None, route: Route
) -> socket.socket:
    if upstream is None:
        return connection
    try:
        await through(connection, upstream, _host(route), route.port)
    except BaseException:
        connection.close()
        raise
    return connection


def resolve_name(name: str) -> list[str]:
    """Ask the system for the addresses of a name.

    Raises:
        OSError: it does not know them.
    """
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except UnicodeError as error:
        raise OSError(f"not a host name: {error}") from error
    return [str(entry[4][0]) for entry in found]


async def connect_to(address: Address, port: int) -> socket.socket:
    """Return a connection to an address.

    Raises:
        OSError: there is none.
    """
    family = socket.AF_INET if isinstance(address, IPv4Address) else socket.AF_INET6
    connection = socket.socket(family, socket.SOCK_STREAM)
    try:
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.get_running_loop().sock_connect(connection, (str(address), port))
    except BaseException:
        connection.close()
        raise
    return connection


def is_of_this_machine(address: Address) -> bool:
    """Tell whether a connection to an address would stay on this machine; nothing is sent."""
    family = socket.AF_INET if isinstance(address, IPv4Address) else socket.AF_INET6
    # The system answers a connection to itself from the very address that is asked for.
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as trial:
            trial.connect((str(address), 9))
            return parse_address(str(trial.getsockname()[0])) == address
    except OSError:
        return False
