"""The proxy that the server itself has to use, for hosts that its operator named.

`HTTPS_PROXY`, or `ALL_PROXY`, leads to it and `NO_PROXY` past it, as programs commonly read them.
It is asked for a tunnel (CONNECT), whatever is spoken in it. Hosts that were granted to plugins
never go this way: their addresses are checked here, and such a proxy would look names up again.

`through` runs in the loop of the egress service; all else is pure.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from engine.sandbox.addresses import parse_address

__all__ = ["Upstream", "through", "upstream_of"]

_NAMES = ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")
_MAX_HEAD_BYTES = 16 * 1024
_PORT = 80
_ACCEPTED = re.compile(rb"HTTP/1\.[01] 2\d\d\b")


@dataclass(frozen=True, slots=True)
class Upstream:
    """A proxy that is spoken to without encryption.

    Args:
        host: its name or address.
        port: of it.
        authorization: the value of its header, empty without.
        past: hosts and domains that are reached without it; `*` is all.
    """

    host: str
    port: int
    authorization: str = ""
    past: tuple[str, ...] = ()

    def takes(self, host: str) -> bool:
        """Tell whether a host, in lower case, is reached through it."""
        address = parse_address(host)
        if host == "localhost" or (address is not None and address.is_loopback):
            return False
        return not any(
            end in ("*", host) or host.endswith(f".{end.removeprefix('*').removeprefix('.')}")
            for end in self.past
        )


def upstream_of(variables: Mapping[str, str]) -> Upstream | None:
    """Return the proxy that variables name; None for none, and for one of another kind."""
    text = next((variables[name] for name in _NAMES if variables.get(name)), "")
    with contextlib.suppress(ValueError):
        parts = urlsplit(text if "://" in text else f"http://{text}")
        if parts.scheme == "http" and parts.hostname:
            past = variables.get("NO_PROXY") or variables.get("no_proxy") or ""
            return Upstream(
                parts.hostname,
                parts.port or _PORT,
                _authorization(parts.username, parts.password),
                tuple(word.lower() for word in re.split(r"[\s,]+", past) if word),
            )
    return None


def _authorization(user: str | None, password: str | None) -> str:
    if user is None:
        return ""
    text = f"{unquote(user)}:{unquote(password or '')}"
    return "Basic " + base64.b64encode(text.encode()).decode("ascii")


async def through(connection: socket.socket, upstream: Upstream, host: str, port: int) -> None:
    """Ask a proxy for a tunnel to a host.

    Args:
        connection: to the proxy; the tunnel afterwards.
        upstream: the proxy.
        host: name or address, without brackets.
        port: of the host.

    Raises:
        OSError: it refuses; the text has its answer.
    """
    loop = asyncio.get_running_loop()
    shown = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    lines = [f"CONNECT {shown} HTTP/1.1", f"Host: {shown}"]
    if upstream.authorization:
        lines.append(f"Proxy-Authorization: {upstream.authorization}")
    await loop.sock_sendall(connection, "\r\n".join([*lines, "", ""]).encode("ascii"))
    head = b""
    # Byte by byte, since whatever follows belongs to the host.
    while not head.endswith(b"\r\n\r\n"):
        byte = await loop.sock_recv(connection, 1)
        head += byte
        if not byte or len(head) > _MAX_HEAD_BYTES:
            break
    if not _ACCEPTED.match(head):
        answer = head.partition(b"\r\n")[0][:200].decode("ascii", "replace")
        raise OSError(f"the proxy {upstream.host}:{upstream.port} answered: {answer or 'nothing'}")
