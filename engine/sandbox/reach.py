"""Which way a plugin's request may take: to this server, to a host it was granted, or nowhere.

    ToServer      `net=self`: localhost and this server's own port, and there only plugins' paths,
                  whatever else was granted
    ToAddress     a literal address, granted as such; any address may be granted so
    ToName        a granted name; only its public addresses are reached, unless an address of it
                  is granted literally as well, or the operator of the server named the host

Pure; any thread may call.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from engine.model.grants import Grants
from engine.sandbox.addresses import Address, parse_address, why_not_public
from engine.sandbox.proxy_request import ProxyRequest, Refusal, Target

__all__ = ["Route", "ToAddress", "ToName", "ToServer", "choose_route", "is_operators", "reachable"]

_LOCAL_NAMES = frozenset(["localhost", "127.0.0.1", "::1"])
# An open server would let whoever reaches the rest of it make triggers with any grant.
_OWN_FOLDER = "/api/v3/engine/"
_OWN_PATHS = frozenset(["/health", "/ping"])
_UNSPECIFIED = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  where it listens


@dataclass(frozen=True, slots=True)
class ToServer:
    """Connect to this server: a host as bound, and its port."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class ToAddress:
    """Connect to an address that was granted literally."""

    address: Address
    port: int


@dataclass(frozen=True, slots=True)
class ToName:
    """Resolve a name, check its addresses with `reachable`, connect to one of them."""

    name: str
    port: int


Route = ToServer | ToAddress | ToName


def choose_route(request: ProxyRequest, grants: Grants, own: tuple[str, int]) -> Route | Refusal:
    """Return the way for a request.

    Args:
        request: as parsed.
        grants: of the trigger.
        own: host and port that this server listens on.
    """
    target = request.target
    address = parse_address(target.host)
    if _is_own(target, address, own):
        return _to_server(request, grants, own)
    if address is not None and _is_granted(address, target.port, grants):
        return ToAddress(address, target.port)
    if address is None and any(g.covers(target.host, target.port) for g in grants.hosts):
        return ToName(target.host, target.port)
    return Refusal(403, f"missing grant net={target}")


def reachable(
    addresses: Iterable[Address], own: frozenset[Address], target: ToName, grants: Grants
) -> tuple[Address, ...] | Refusal:
    """Return the addresses of a name that may be connected to, in the order given.

    Args:
        addresses: that the name has.
        own: those of them that belong to this machine.
        target: the name.
        grants: of the trigger.
    """
    why = "no address"
    is_trusted = is_operators(target.name, target.port, grants)
    allowed = []
    for address in addresses:
        kind = why_not_public(address) or ("of this machine" if address in own else None)
        if kind is None or is_trusted or _is_granted(address, target.port, grants):
            allowed.append(address)
        else:
            grant = f"net={Target(str(address), target.port)}"
            why = f"{address}, which is {kind}; missing grant {grant}"
    if allowed:
        return tuple(allowed)
    return Refusal(403, f"{target.name} has {why}")


def is_operators(host: str, port: int, grants: Grants) -> bool:
    """Tell whether a host, by name or address, is one that the operator of the server named."""
    return any(grant.at_any_address and grant.covers(host, port) for grant in grants.hosts)


def _is_granted(address: Address, port: int, grants: Grants) -> bool:
    return any(
        parse_address(grant.host) == address and grant.port in (None, port)
        for grant in grants.hosts
    )


def _is_own(target: Target, address: Address | None, own: tuple[str, int]) -> bool:
    if target.port != own[1]:
        return False
    if address is not None and (address.is_loopback or address.is_unspecified):
        return True
    return target.host in {*_LOCAL_NAMES, own[0].lower()}


def _to_server(request: ProxyRequest, grants: Grants, own: tuple[str, int]) -> ToServer | Refusal:
    if not grants.self_http:
        return Refusal(403, "missing grant net=self")
    if request.path is None:
        return Refusal(403, "net=self allows http:// requests, no tunnels")
    if not _is_own_path(request.path.partition("?")[0]):
        return Refusal(403, f"net=self allows {_OWN_FOLDER} only")
    host = own[0]
    return ToServer(_UNSPECIFIED.get(host, host), own[1])


def _is_own_path(path: str) -> bool:
    if path in _OWN_PATHS:
        return True
    # However a server reads dots and escapes, what is left stays in the folder.
    is_plain = not any(mark in path.lower() for mark in ("..", "%2e", "%2f", "%5c", "\\"))
    return path.startswith(_OWN_FOLDER) and is_plain
