"""Addresses to listen on, as text. Pure functions."""

from __future__ import annotations

import ipaddress

from engine.cli.failures import BadValue

__all__ = ["is_loopback", "parse_bind", "url"]

_LARGEST_PORT = 65_535


def parse_bind(text: str) -> tuple[str, int]:
    """Return host and port of `host:port` or `[address]:port`.

    Raises:
        BadValue: the text is neither.
    """
    host, colon, port = text.strip().rpartition(":")
    is_bracketed = host.startswith("[") and host.endswith("]")
    if is_bracketed:
        host = host[1:-1]
    is_port = port.isascii() and port.isdecimal() and int(port) <= _LARGEST_PORT
    if not colon or not host or not is_port or (":" in host and not is_bracketed):
        raise BadValue(text, "--http-bind <HOST:PORT>", "expected an address as 127.0.0.1:8181")
    return host, int(port)


def is_loopback(host: str) -> bool:
    """Whether a host is this machine for itself only."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def url(address: tuple[str, int]) -> str:
    """Return the URL of an address; one for all interfaces is shown as it was given."""
    host, port = address
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
