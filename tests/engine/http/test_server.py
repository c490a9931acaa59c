"""The server as a service: its address, its bounds on clients, and how it stops."""

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from engine.http.limits import EdgeLimits
from engine.http.server import HttpServer

LIMITS = EdgeLimits(head_s=0.3, keep_alive_s=0.5, stalled_write_s=0.3, grace_s=2.0)
LARGE = 64 * 1024 * 1024


class Gate:
    """An application whose `/wait` answers when the test says so."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.open = threading.Event()
        self.app = Starlette(
            routes=[
                Route("/wait", self.wait),
                Route("/large", self.large),
                Route("/{path:path}", self.plain, methods=["GET", "POST"]),
            ]
        )

    async def wait(self, request: Request) -> Response:
        self.entered.set()
        await asyncio.get_running_loop().run_in_executor(None, self.open.wait, 5.0)
        return PlainTextResponse("waited")

    async def large(self, request: Request) -> Response:
        self.entered.set()
        return Response(b"x" * LARGE)

    async def plain(self, request: Request) -> Response:
        return PlainTextResponse("plain")


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
def server(gate: Gate) -> Iterator[HttpServer]:
    running = HttpServer(gate.app, ("localhost", 0), LIMITS)
    running.start()
    yield running
    gate.open.set()
    assert running.stop(5.0)


def url(server: HttpServer, path: str) -> str:
    host, port = server.address
    return f"http://{host}:{port}{path}"


def connect(server: HttpServer) -> socket.socket:
    return socket.create_connection(server.address, timeout=5.0)


def ends(error: type[Exception], action: Callable[[], object]) -> bool:
    """Repeat an action until it fails as expected, within a limit."""
    for _ in range(10_000):
        try:
            action()
        except error:
            return True
    return False


def test_port_zero_takes_a_free_port_and_tells_it(server: HttpServer) -> None:
    assert server.address[0] == "127.0.0.1"
    assert server.address[1] > 0
    assert httpx.get(url(server, "/")).text == "plain"


def test_responses_carry_a_date(server: HttpServer) -> None:
    assert httpx.get(url(server, "/")).headers["date"].endswith("GMT")


def test_address_is_unknown_before_the_start() -> None:
    server = HttpServer(Gate().app, ("127.0.0.1", 0), LIMITS)

    with pytest.raises(RuntimeError, match="not been started"):
        _ = server.address


def test_taken_address_is_an_error_of_start(server: HttpServer) -> None:
    second = HttpServer(Gate().app, server.address, LIMITS)

    with pytest.raises(OSError, match="in use"):
        second.start()


def test_stop_before_the_loop_runs_ends_at_once() -> None:
    server = HttpServer(Gate().app, ("127.0.0.1", 0), LIMITS)
    server.start()

    assert server.stop(5.0)


def test_stop_lets_a_running_request_finish(gate: Gate, server: HttpServer) -> None:
    answers: list[httpx.Response] = []
    client = threading.Thread(target=lambda: answers.append(httpx.get(url(server, "/wait"))))
    client.start()
    assert gate.entered.wait(5.0)

    server.request_stop()
    gate.open.set()
    client.join(5.0)

    assert [answer.text for answer in answers] == ["waited"]


def test_stop_refuses_new_connections_and_closes_resting_ones(
    gate: Gate, server: HttpServer
) -> None:
    with httpx.Client() as running, httpx.Client() as resting:
        resting.get(url(server, "/"))
        waiting = threading.Thread(target=running.get, args=(url(server, "/wait"),))
        waiting.start()
        assert gate.entered.wait(5.0)

        server.request_stop()
        assert ends(httpx.TransportError, lambda: resting.get(url(server, "/")))
        assert ends(ConnectionRefusedError, lambda: connect(server).close())

        gate.open.set()
        waiting.join(5.0)


def test_stop_cuts_a_request_that_outlasts_the_grace() -> None:
    gate = Gate()
    server = HttpServer(gate.app, ("127.0.0.1", 0), replace(LIMITS, grace_s=0.1))
    server.start()
    with connect(server) as client:
        client.sendall(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
        assert gate.entered.wait(5.0)

        assert server.stop(5.0)


def test_resting_connection_is_closed_after_a_while(server: HttpServer) -> None:
    with connect(server) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        while part := client.recv(65536):
            last = part

        assert last.endswith(b"plain")


def test_head_that_never_ends_in_time_is_closed(server: HttpServer) -> None:
    with connect(server) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n")

        assert client.recv(100) == b""


@pytest.mark.parametrize(
    "head",
    [
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nBig: " + b"a" * 100_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n" + b"Many: header\r\n" * 10_000 + b"\r\n",
    ],
    ids=["target", "one header", "many headers"],
)
def test_head_that_is_too_large_is_answered_431(server: HttpServer, head: bytes) -> None:
    with connect(server) as client:
        client.sendall(head)

        assert client.recv(100).startswith(b"HTTP/1.1 431 ")


def test_header_without_an_end_is_cut_off(server: HttpServer) -> None:
    with connect(server) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nBig: ")

        assert ends(OSError, lambda: client.sendall(b"a" * 65536))


def test_head_after_a_large_body_is_not_mistaken_for_a_large_head(server: HttpServer) -> None:
    body = b"b" * 3_000_000
    request = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    with connect(server) as client:
        client.sendall(request + b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        answers = b"".join(iter(lambda: client.recv(65536), b""))

    assert answers.count(b"HTTP/1.1 200 OK") == 2


def test_client_that_does_not_take_its_answer_is_cut_off(gate: Gate, server: HttpServer) -> None:
    with connect(server) as client:
        client.sendall(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
        assert gate.entered.wait(5.0)
        threading.Event().wait(0.6)  # the stall is the point: this client is in no hurry
        received = sum(len(part) for part in iter(lambda: client.recv(1 << 20), b""))

    assert received < LARGE


def test_target_that_is_no_path_is_answered_400(server: HttpServer) -> None:
    with connect(server) as client:
        client.sendall(b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n")

        assert client.recv(100).startswith(b"HTTP/1.1 ")
