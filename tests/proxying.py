"""A proxy for tests: real sockets on loopback, with a made-up internet behind them.

Names and public addresses exist in tables only; each address leads to a port of this machine.
"""

import socket
import socketserver
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address

from engine.model.grants import parse_grants
from engine.sandbox.addresses import Address
from engine.sandbox.conversation import Patience
from engine.sandbox.dial import connect_to
from engine.sandbox.egress import Egress, EgressHandle

TOKEN = "0123456789abcdef"
LOOPBACK = ip_address("127.0.0.1")


@dataclass
class Internet:
    """Names, and what answers at addresses; looked up in the order given, the last one for ever."""

    names: dict[str, list[list[str]]] = field(default_factory=dict)
    ports: dict[str, int] = field(default_factory=dict)
    connected: list[str] = field(default_factory=list)

    def resolve(self, name: str) -> Sequence[str]:
        answers = self.names.get(name)
        if answers is None:
            raise OSError(-2, "Name or service not known")
        return answers.pop(0) if len(answers) > 1 else answers[0]

    async def connect(self, address: Address, port: int) -> socket.socket:
        self.connected.append(str(address))
        if address == LOOPBACK:
            return await connect_to(LOOPBACK, port)
        if str(address) not in self.ports:
            raise OSError(113, "No route to host")
        return await connect_to(LOOPBACK, self.ports[str(address)])


@dataclass
class Proxy:
    """One worker's way out, and what was refused to it."""

    egress: Egress
    handle: EgressHandle
    port: int
    refused: list[tuple[str, str]]

    @property
    def url(self) -> str:
        return f"http://bulkhead:{TOKEN}@127.0.0.1:{self.port}"

    def raw(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=10)


@contextmanager
def proxied(
    internet: Internet,
    *grants: str,
    own: tuple[str, int] = ("127.0.0.1", 1),
    patience: Patience = Patience(),  # noqa: B008  frozen
    max_connections: int = 64,
) -> Iterator[Proxy]:
    refused: list[tuple[str, str]] = []
    egress = Egress(
        lambda label, text: refused.append((label, text)),
        resolve=internet.resolve,
        connect=internet.connect,
        patience=patience,
        max_connections=max_connections,
    )
    egress.start()
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)
    port = listener.getsockname()[1]
    try:
        handle = egress.attach(listener, TOKEN, parse_grants(grants), "alerts", own)
        yield Proxy(egress, handle, port, refused)
    finally:
        assert egress.stop()


class Plain(BaseHTTPRequestHandler):
    """Answers with what it was asked, and remembers it."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        self.server.seen.append((self.path, dict(self.headers), body))  # type: ignore[attr-defined]
        answer = b"%s %s %d" % (self.command.encode(), self.path.encode(), len(body))
        self.send_response(200)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_POST = do_GET  # noqa: N815  called so

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Echo(socketserver.BaseRequestHandler):
    """Sends back what comes."""

    def handle(self) -> None:
        while chunk := self.request.recv(65536):
            self.request.sendall(chunk)


@contextmanager
def running(server: socketserver.BaseServer) -> Iterator[int]:
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def web(seen: list[tuple[str, dict[str, str], bytes]]) -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Plain)
    server.seen = seen  # type: ignore[attr-defined]
    with running(server) as port:
        yield port


@contextmanager
def echo() -> Iterator[int]:
    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Echo)
    with running(server) as port:
        yield port


def answer_of(connection: socket.socket) -> bytes:
    received = b""
    while chunk := connection.recv(65536):
        received += chunk
    return received
