r"""The head of a request to the proxy: read strictly, so that nobody after us reads it otherwise.

    CONNECT host:port HTTP/1.1           a tunnel for bytes, as for https
    GET http://host/path HTTP/1.1        one plain request; rewritten for the target:
        GET /path HTTP/1.1
        Host: host
        ...                              what belongs to the connection is left out
        Connection: close                so a connection never serves two targets

Refused are all means by which two readers could see two different requests: folded lines, bare
`\r` or `\n`, a `Host` that is not the target, more than one length, chunked bodies.

Pure; any thread may call.

Source: RFC 9110 (7.2, 7.6, 9.3.6) and RFC 9112 (2.2, 3.2, 5, 6.3, 11.2).
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass

from engine.sandbox.addresses import parse_address

__all__ = ["HEAD_END", "MAX_HEAD_BYTES", "ProxyRequest", "Refusal", "Target", "parse_head"]

HEAD_END = b"\r\n\r\n"
MAX_HEAD_BYTES = 16 * 1024
_MAX_FIELDS = 100
_HTTP_PORT = 80
_LARGEST_PORT = 65_535
_LONGEST_HOST = 253

_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_REQUEST_LINE = re.compile(rb"(" + _TOKEN + rb") ([\x21-\x7e]+) HTTP/1\.([01])")
_FIELD = re.compile(rb"(" + _TOKEN + rb"):[ \t]*([\t\x20-\x7e\x80-\xff]*)")
_AUTHORITY = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([0-9A-Za-z._-]+))(?::([0-9]{1,5}))?")
_ABSOLUTE = re.compile(r"http://([^/?#]+)(/[^?#]*)?(\?[^#]*)?", re.IGNORECASE)
_LENGTH = re.compile(rb"[0-9]{1,15}")
# Of one connection, or written anew.
_DROPPED = frozenset(
    [b"connection", b"content-length", b"host", b"keep-alive", b"te", b"trailer", b"upgrade"]
)

_Fields = list[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Target:
    """Where a request wants to go.

    Args:
        host: a name in lower case without a dot at its end, or a literal address.
        port: 1 to 65535.
    """

    host: str
    port: int

    def __str__(self) -> str:
        """Write it as in a grant."""
        return f"{_bracketed(self.host)}:{self.port}"


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer of the proxy itself: a status and one line of text."""

    status: int
    text: str


@dataclass(frozen=True, slots=True)
class ProxyRequest:
    """A request that can be understood.

    Args:
        target: where it wants to go.
        credentials: `name:password` as sent, b"" without any.
        path: of a plain request, None for a tunnel.
        head: of a plain request as the target gets it, b"" for a tunnel.
        body_bytes: that follow the head of a plain request.
    """

    target: Target
    credentials: bytes
    path: str | None = None
    head: bytes = b""
    body_bytes: int = 0

    @property
    def is_tunnel(self) -> bool:
        """Whether bytes are to be passed on as they are."""
        return self.path is None


class _Unacceptable(Exception):
    """The head is refused; the text says why."""

    def __init__(self, text: str, status: int = 400) -> None:
        super().__init__(text)
        self.status = status


def parse_head(head: bytes) -> ProxyRequest | Refusal:
    """Return what a head asks for.

    Args:
        head: up to and with the empty line.
    """
    try:
        return _parse(head)
    except _Unacceptable as error:
        return Refusal(error.status, str(error))


def _parse(head: bytes) -> ProxyRequest:
    first, *lines = head.removesuffix(HEAD_END).split(b"\r\n")
    line = _REQUEST_LINE.fullmatch(first)
    if line is None:
        raise _Unacceptable("not a request line of HTTP/1.0 or HTTP/1.1")
    method, written, minor = line[1], line[2].decode("ascii"), int(line[3])
    fields = _fields(lines)
    credentials = _credentials(fields)
    if method == b"CONNECT":
        target = _target(written, None)
        _check_host(fields, target, default_port=target.port, is_needed=False)
        return ProxyRequest(target, credentials)
    target, path = _split(written)
    _check_host(fields, target, default_port=_HTTP_PORT, is_needed=minor > 0)
    body_bytes = _body_bytes(fields)
    start = b"%s %s HTTP/1.%d\r\n" % (method, path.encode("ascii"), minor)
    rewritten = start + _rewritten(fields, target, body_bytes)
    return ProxyRequest(target, credentials, path, rewritten, body_bytes or 0)


def _fields(lines: list[bytes]) -> _Fields:
    if len(lines) > _MAX_FIELDS:
        raise _Unacceptable(f"more than {_MAX_FIELDS} header fields", 431)
    fields = []
    for line in lines:
        field = _FIELD.fullmatch(line)
        if field is None:
            raise _Unacceptable("a header field is malformed")
        fields.append((field[1].lower(), field[2].rstrip(b" \t")))
    return fields


def _values(fields: _Fields, name: bytes) -> list[bytes]:
    return [value for key, value in fields if key == name]


def _credentials(fields: _Fields) -> bytes:
    values = _values(fields, b"proxy-authorization")
    if len(values) != 1:
        return b""
    scheme, _, encoded = values[0].partition(b" ")
    if scheme.lower() != b"basic":
        return b""
    try:
        return base64.b64decode(encoded.strip(), validate=True)
    except binascii.Error:
        return b""


def _split(written: str) -> tuple[Target, str]:
    url = _ABSOLUTE.fullmatch(written)
    if url is None:
        raise _Unacceptable("a proxy takes CONNECT host:port, or a URL that begins with http://")
    return _target(url[1], _HTTP_PORT), (url[2] or "/") + (url[3] or "")


def _target(authority: str, default_port: int | None) -> Target:
    parts = _AUTHORITY.fullmatch(authority)
    if parts is None:
        raise _Unacceptable("the target is no host and port")
    port = int(parts[3]) if parts[3] else default_port
    if port is None or not 0 < port <= _LARGEST_PORT:
        raise _Unacceptable("the target has no port from 1 to 65535")
    return Target(_host(parts[1], parts[2]), port)


def _host(bracketed: str | None, plain: str | None) -> str:
    if bracketed is not None:
        address = parse_address(bracketed)
        if address is None:
            raise _Unacceptable("the target is no IPv6 address")
        return str(address)
    name = (plain or "").lower().removesuffix(".")
    if not name or len(name) > _LONGEST_HOST:
        raise _Unacceptable("the target has no host name")
    return name


def _check_host(fields: _Fields, target: Target, *, default_port: int, is_needed: bool) -> None:
    values = _values(fields, b"host")
    if len(values) > 1 or (is_needed and not values):
        raise _Unacceptable("there must be exactly one Host")
    # Latin-1 never fails; what is not ASCII is then no host.
    if values and _target(values[0].decode("latin-1"), default_port) != target:
        raise _Unacceptable("Host is not the target")


def _body_bytes(fields: _Fields) -> int | None:
    if _values(fields, b"transfer-encoding"):
        raise _Unacceptable("chunked bodies are not passed on; send a Content-Length", 411)
    values = _values(fields, b"content-length")
    if not values:
        return None
    if len(values) > 1 or not _LENGTH.fullmatch(values[0]):
        raise _Unacceptable("there must be one Content-Length, a number")
    return int(values[0])


def _rewritten(fields: _Fields, target: Target, body_bytes: int | None) -> bytes:
    host = _bracketed(target.host) if target.port == _HTTP_PORT else str(target)
    named = {
        name.strip().lower()
        for value in _values(fields, b"connection")
        for name in value.split(b",")
    }
    kept = [
        (name, value)
        for name, value in fields
        if name not in _DROPPED and name not in named and not name.startswith(b"proxy-")
    ]
    length = [] if body_bytes is None else [(b"content-length", b"%d" % body_bytes)]
    lines = [(b"host", host.encode("ascii")), *kept, *length, (b"connection", b"close")]
    return b"".join(b"%s: %s\r\n" % line for line in lines) + b"\r\n"


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
