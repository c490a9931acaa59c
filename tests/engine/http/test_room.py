"""Requests that hold memory together."""

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

import httpx
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import Busy
from engine.http.app import make_app
from engine.http.edge import Edge
from engine.http.room import Room
from engine.http.server import HttpServer
from tests.http_services import EdgeParts

LIMIT = 4_000


@pytest.fixture
def narrow(parts: EdgeParts) -> Iterator[HttpServer]:
    """Serve with room for less than a full body."""
    services = replace(parts.services(), limits=replace(parts.limits, max_held_bytes=LIMIT))
    server = HttpServer(make_app(services), ("127.0.0.1", 0), services.limits)
    server.start()
    yield server
    assert server.stop(5.0)


def test_who_is_alone_may_hold_more_than_the_room() -> None:
    room = Room(10)
    alone = room.share({})

    alone.take(100)
    with pytest.raises(Busy):
        room.share({}).take(1)
    alone.release()
    room.share({}).take(1)

    assert room.held_bytes == 1


def test_what_cannot_be_refused_is_counted() -> None:
    room = Room(10)
    first, second = room.share({}), room.share({})

    first.hold(11)

    with pytest.raises(Busy, match="try again shortly"):
        second.take(0)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 20)), max_size=40))
def test_released_shares_leave_nothing_behind(steps: list[tuple[int, int]]) -> None:
    room = Room(30)
    shares = [room.share({}) for _ in range(4)]

    for which, size in steps:
        try:
            shares[which].take(size)
        except Busy:
            shares[which].release()
    for share in shares:
        share.release()

    assert room.held_bytes == 0


def test_body_is_refused_while_others_hold_the_room(narrow: HttpServer) -> None:
    head = b"POST /api/v3/write_lp?db=db HTTP/1.1\r\nhost: x\r\ncontent-length: 5000\r\n\r\n"
    with socket.create_connection(narrow.address, timeout=5) as slow:
        slow.sendall(head + b"m f=1 1\n" + b"#" * 3500)
        answer = _until_refused(narrow, b"m f=1 1\n" + b"#" * 3500)

    assert answer.headers["retry-after"] == "1"
    assert answer.text.startswith("too many bytes of requests and answers are in memory")


def _until_refused(server: HttpServer, body: bytes) -> httpx.Response:
    """Write until the server has read what the other client has sent."""
    host, port = server.address
    for _ in range(200):
        answer = httpx.post(f"http://{host}:{port}/api/v3/write_lp?db=db", content=body)
        if answer.status_code == 503:
            return answer
    pytest.fail("nobody was refused")


def test_room_is_free_again_when_the_request_is_over(narrow: HttpServer) -> None:
    host, port = narrow.address
    body = b"m f=1 1\n" + b"#" * 3500

    statuses = [
        httpx.post(f"http://{host}:{port}/api/v3/write_lp?db=db", content=body).status_code
        for _ in range(5)
    ]

    assert statuses == [204] * 5


def test_result_that_waits_for_its_client_counts(parts: EdgeParts, narrow: HttpServer) -> None:
    entered, leave = threading.Event(), threading.Event()
    rendered: Future[httpx.Response] = Future()
    parts.queries.answers["SELECT 1"] = pa.table({"n": [0] * 1000})
    url = "http://{}:{}/api/v3/query_sql".format(*narrow.address)
    params = {"db": "db", "q": "SELECT 1", "format": "json"}
    parts.on_render = _gate(entered, leave)
    first = threading.Thread(
        target=lambda: rendered.set_result(httpx.get(url, params=params, timeout=10))
    )

    first.start()
    assert entered.wait(5)
    second = httpx.get(url, params=params)
    leave.set()
    first.join(10)

    assert (second.status_code, second.headers["retry-after"]) == (503, "1")
    assert rendered.result(0).status_code == 200


def _gate(entered: threading.Event, leave: threading.Event) -> Callable[[], None]:
    def wait() -> None:
        entered.set()
        assert leave.wait(5)

    return wait


@pytest.mark.parametrize("size", [0, 1, 262_143, 262_144, 262_145, 524_288, 600_000])
def test_large_answers_leave_in_pieces_and_whole(size: int, tmp_path: Path) -> None:
    body = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    assert len(body) == size
    sent: list[dict] = []

    async def app(_scope: object, _receive: object, send: Callable) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body})

    async def keep(message: dict) -> None:
        sent.append(message)

    services = EdgeParts(tmp_path).services()
    edge = Edge(app, "u", services.authorize, lambda _path: None, 1 << 30)
    scope = {"type": "http", "method": "GET", "path": "/", "headers": []}
    asyncio.run(edge(scope, lambda: None, keep))

    pieces = sent[1:]
    assert b"".join(piece["body"] for piece in pieces) == body
    assert all(len(piece["body"]) <= 262_144 for piece in pieces)
    assert [piece.get("more_body", False) for piece in pieces] == [True] * (len(pieces) - 1) + [
        False
    ]
