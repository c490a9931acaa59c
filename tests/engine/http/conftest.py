"""A real server over services in memory, and a client for it."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from engine.http.app import make_app
from engine.http.limits import EdgeLimits
from engine.http.server import HttpServer
from tests.http_services import EdgeParts

LIMITS = EdgeLimits(max_request_bytes=10_000, body_idle_s=0.3, grace_s=1.0)


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[EdgeParts]:
    made = EdgeParts(tmp_path, LIMITS)
    yield made
    made.stop()


@pytest.fixture
def edge(parts: EdgeParts) -> Iterator[HttpServer]:
    server = HttpServer(make_app(parts.services()), ("127.0.0.1", 0), LIMITS)
    server.start()
    yield server
    assert server.stop(5.0)


@pytest.fixture
def client(edge: HttpServer) -> Iterator[httpx.Client]:
    host, port = edge.address
    with httpx.Client(base_url=f"http://{host}:{port}", timeout=5.0) as made:
        yield made
