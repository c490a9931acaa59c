"""What the listener makes of the first bytes, with real sockets and bare clients."""

import os
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from engine.http.limits import EdgeLimits
from engine.http.listener import Spoken, recognise
from engine.http.server import HttpServer

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
LIMITS = EdgeLimits(first_byte_s=0.3, head_s=0.3, keep_alive_s=5.0, grace_s=1.0)


async def _echo(request: Request) -> Response:
    body = await request.body()
    return PlainTextResponse(request.url.path.encode() + b" " + body)


APP = Starlette(routes=[Route("/{path:path}", _echo, methods=["GET", "POST"])])


@pytest.fixture
def server() -> Iterator[HttpServer]:
    running = HttpServer(APP, ("127.0.0.1", 0), LIMITS)
    running.start()
    yield running
    assert running.stop(5.0)


def connect(server: HttpServer) -> socket.socket:
    return socket.create_connection(server.address, timeout=5.0)


def everything(client: socket.socket) -> bytes:
    """Read to the end; a reset after the answer counts as the end."""
    parts = []
    try:
        while part := client.recv(65536):
            parts.append(part)
    except ConnectionResetError:
        pass
    return b"".join(parts)


def get(path: str, *, close: bool = True) -> bytes:
    ending = "Connection: close\r\n" if close else ""
    return f"GET {path} HTTP/1.1\r\nHost: x\r\n{ending}\r\n".encode()


@pytest.mark.parametrize(
    ("first", "spoken"),
    [
        (b"GET / HTTP/1.1", Spoken.HTTP1),
        (b"POST /api/v3/w", Spoken.HTTP1),
        (b"P", Spoken.UNDECIDED),
        (b"PRI * HTTP", Spoken.UNDECIDED),
        (PREFACE, Spoken.HTTP2),
        (b"PRI * HTTP/1.1", Spoken.HTTP1),
        (b"\x16\x03\x01", Spoken.HTTP1),
    ],
)
def test_first_bytes_tell_the_protocol(first: bytes, spoken: Spoken) -> None:
    assert recognise(first) is spoken


@given(st.binary(min_size=1, max_size=40))
def test_only_the_preface_is_taken_for_http2(first: bytes) -> None:
    assert (recognise(first) is Spoken.HTTP2) == first.startswith(PREFACE[:14])


def test_request_sent_byte_by_byte_is_answered(server: HttpServer) -> None:
    with connect(server) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in b"POST /slow HTTP/1.0\r\nContent-Length: 2\r\n\r\nhi":
            client.sendall(bytes([byte]))

        assert everything(client).endswith(b"/slow hi")


def test_silent_connection_is_closed_when_its_time_is_up(server: HttpServer) -> None:
    with connect(server) as client:
        assert everything(client) == b""


def test_beginning_of_a_preface_without_an_end_is_closed(server: HttpServer) -> None:
    with connect(server) as client:
        client.sendall(b"PRI * ")

        assert everything(client) == b""


def test_half_closed_beginning_of_a_preface_is_closed_at_once(server: HttpServer) -> None:
    with connect(server) as client:
        client.sendall(b"PR")
        client.shutdown(socket.SHUT_WR)

        assert everything(client) == b""


def test_http2_preface_is_closed_without_an_answer(server: HttpServer) -> None:
    with connect(server) as client:
        client.sendall(PREFACE)

        assert everything(client) == b""


def test_silent_clients_do_not_hold_up_others(server: HttpServer) -> None:
    silent = [connect(server) for _ in range(50)]

    with connect(server) as client:
        client.sendall(get("/through"))
        answer = everything(client)

    for other in silent:
        other.close()
    assert answer.endswith(b"/through ")


def test_half_closed_client_gets_its_answer(server: HttpServer) -> None:
    with connect(server) as client:
        client.sendall(get("/half"))
        client.shutdown(socket.SHUT_WR)

        assert everything(client).endswith(b"/half ")


def test_client_that_leaves_at_once_harms_nobody(server: HttpServer) -> None:
    connect(server).close()

    with connect(server) as client:
        client.sendall(get("/still"))
        assert everything(client).endswith(b"/still ")


@pytest.mark.parametrize(
    "garbage", [b"\x16\x03\x01\x02\x00\x01\x00\x01", b"hello\r\n\r\n", b"\0" * 64]
)
def test_garbage_is_answered_400_and_closed(server: HttpServer, garbage: bytes) -> None:
    with connect(server) as client:
        client.sendall(garbage)

        assert everything(client).startswith(b"HTTP/1.1 400 Bad Request")


def test_pipelined_requests_are_answered_in_order(server: HttpServer) -> None:
    with connect(server) as client:
        client.sendall(get("/1", close=False) + get("/2", close=False) + get("/3"))
        answers = everything(client)

    assert [answers.index(path) for path in (b"/1 ", b"/2 ", b"/3 ")] == sorted(
        answers.index(path) for path in (b"/1 ", b"/2 ", b"/3 ")
    )


def test_many_connections_at_once_are_all_served(server: HttpServer) -> None:
    def ask(number: int) -> bytes:
        with connect(server) as client:
            client.sendall(get(f"/{number}"))
            return everything(client)

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(ask, range(100)))

    assert all(a.endswith(f"/{number} ".encode()) for number, a in enumerate(answers))


def test_connection_past_the_limit_is_refused_with_503() -> None:
    server = HttpServer(APP, ("127.0.0.1", 0), replace(LIMITS, max_connections=1))
    server.start()
    try:
        with connect(server) as first, connect(server) as second:
            second_answer = everything(second)
            first.sendall(get("/first"))
            first_answer = everything(first)
    finally:
        assert server.stop(5.0)

    assert b"503 Service Unavailable" in second_answer
    assert b"retry-after: 1" in second_answer
    assert first_answer.endswith(b"/first ")


def test_no_descriptor_or_thread_is_left_behind() -> None:
    descriptors, threads = len(os.listdir("/proc/self/fd")), threading.active_count()  # noqa: PTH208  numbers, not paths
    server = HttpServer(APP, ("127.0.0.1", 0), LIMITS)
    server.start()
    with connect(server) as client, connect(server):
        client.sendall(PREFACE)
        everything(client)

    assert server.stop(5.0)

    assert len(os.listdir("/proc/self/fd")) == descriptors  # noqa: PTH208  as above
    assert threading.active_count() == threads
