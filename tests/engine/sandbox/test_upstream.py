"""The operator's own hosts are reached through the operator's own proxy, and no others are."""

from __future__ import annotations

import socket
import socketserver
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import pytest

from engine.model.grants import Grants, HostGrant
from engine.sandbox.egress import Egress
from engine.sandbox.upstream import Upstream, upstream_of
from tests.proxying import TOKEN, answer_of, running

AUTHORIZED = "Basic Ym9iOnMzY3JldA=="
CREDENTIALS = "YnVsa2hlYWQ6MDEyMzQ1Njc4OWFiY2RlZg=="  # of the worker


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, None),
        ({"HTTPS_PROXY": "http://proxy.example:3128"}, Upstream("proxy.example", 3128)),
        ({"https_proxy": "proxy.example"}, Upstream("proxy.example", 80)),
        ({"ALL_PROXY": "http://[2001:db8::1]:8080/"}, Upstream("2001:db8::1", 8080)),
        ({"HTTPS_PROXY": "http://bob:s%33cret@p:1"}, Upstream("p", 1, AUTHORIZED)),
        ({"HTTPS_PROXY": "socks5://p:1"}, None),
        ({"HTTPS_PROXY": "https://p:1"}, None),
        ({"HTTPS_PROXY": "http://p:none"}, None),
        (
            {"HTTPS_PROXY": "p:1", "NO_PROXY": "A.example, .b.example"},
            Upstream("p", 1, past=("a.example", ".b.example")),
        ),
    ],
)
def test_it_is_named_by_variables(variables: Mapping[str, str], expected: Upstream | None) -> None:
    assert upstream_of(variables) == expected


@pytest.mark.parametrize(
    ("past", "host", "expected"),
    [
        ((), "packages.example", True),
        ((), "localhost", False),
        ((), "127.0.0.1", False),
        (("*",), "packages.example", False),
        (("example.org",), "a.example.org", False),
        ((".example.org",), "a.example.org", False),
        (("*.example.org",), "a.example.org", False),
        (("example.org",), "badexample.org", True),
        (("10.0.0.5",), "10.0.0.5", False),
    ],
)
def test_some_hosts_are_reached_past_it(past: tuple[str, ...], host: str, expected: bool) -> None:
    assert Upstream("proxy.example", 3128, past=past).takes(host) is expected


class Proxy(socketserver.StreamRequestHandler):
    """Answers as its server says, and sends back what comes then."""

    def handle(self) -> None:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += self.rfile.readline()
        self.server.heads.append(head.decode())  # type: ignore[attr-defined]
        self.wfile.write(self.server.answer)  # type: ignore[attr-defined]
        while chunk := self.request.recv(4096):
            self.request.sendall(chunk)


@contextmanager
def proxy(answer: bytes) -> Iterator[tuple[int, list[str]]]:
    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Proxy)
    server.heads = []  # type: ignore[attr-defined]
    server.answer = answer  # type: ignore[attr-defined]
    with running(server) as port:
        yield port, server.heads  # type: ignore[attr-defined]


def spoken(upstream: Upstream, *hosts: HostGrant, sent: bytes = b"hello") -> bytes:
    """Return what comes back through a tunnel to `index.example:443`."""
    egress = Egress(lambda _label, _text: None, resolve=lambda _: [], upstream=upstream)
    egress.start()
    try:
        listener = socket.create_server(("127.0.0.1", 0))
        address = listener.getsockname()
        egress.attach(listener, TOKEN, Grants(hosts=hosts), "installer", ("127.0.0.1", 0))
        with socket.create_connection(address, timeout=10) as connection:
            head = "CONNECT index.example:443 HTTP/1.1\r\nHost: index.example:443\r\n"
            head += f"Proxy-Authorization: Basic {CREDENTIALS}\r\n\r\n"
            connection.sendall(head.encode() + sent)
            connection.shutdown(socket.SHUT_WR)
            return answer_of(connection)
    finally:
        assert egress.stop()


OPERATORS = HostGrant("index.example", 443, at_any_address=True)


def test_an_operators_host_is_reached_through_it() -> None:
    with proxy(b"HTTP/1.1 200 OK\r\nVia: it\r\n\r\n") as (port, heads):
        answer = spoken(Upstream("127.0.0.1", port, AUTHORIZED), OPERATORS)

    assert answer.endswith(b"\r\n\r\nhello")
    asked = "CONNECT index.example:443 HTTP/1.1\r\nHost: index.example:443\r\n"
    assert heads == [f"{asked}Proxy-Authorization: {AUTHORIZED}\r\n\r\n"]


def test_its_refusal_is_told() -> None:
    with proxy(b"HTTP/1.1 407 Who are you\r\n\r\n") as (port, _):
        answer = spoken(Upstream("127.0.0.1", port), OPERATORS)

    assert answer.startswith(b"HTTP/1.1 502 ")
    assert f"the proxy 127.0.0.1:{port} answered: HTTP/1.1 407 Who are you".encode() in answer


def test_hosts_of_plugins_never_go_through_it() -> None:
    with proxy(b"HTTP/1.1 200 OK\r\n\r\n") as (port, heads):
        answer = spoken(Upstream("127.0.0.1", port), HostGrant("index.example", 443))

    assert answer.startswith(b"HTTP/1.1 403 ")
    assert heads == []
