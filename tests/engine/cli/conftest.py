"""The program in this process, against a real server over services in memory."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from engine.cli.main import main
from engine.http.app import make_app
from engine.http.server import HttpServer
from tests.http_services import EdgeParts


class Ended(NamedTuple):
    """How a command ended."""

    status: int
    out: str
    err: str


Bulkhead = Callable[..., Ended]


@pytest.fixture(autouse=True)
def bare_surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keep settings of whoever runs the tests out."""
    for name in ("HOST_URL", "DATABASE_NAME", "AUTH_TOKEN", "QUERY_HOST_URL", "WRITE_HOST_URL"):
        monkeypatch.delenv(f"INFLUXDB3_{name}", raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def parts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EdgeParts]:
    made = EdgeParts(tmp_path_factory.mktemp("catalog"))
    yield made
    made.stop()


@pytest.fixture
def server(parts: EdgeParts) -> Iterator[HttpServer]:
    running = HttpServer(make_app(parts.services()), ("127.0.0.1", 0), parts.limits)
    running.start()
    yield running
    assert running.stop(5.0)


@pytest.fixture
def bulkhead(capsys: pytest.CaptureFixture[str]) -> Bulkhead:
    """Run the program."""

    def run(*arguments: str) -> Ended:
        status = main(arguments)
        out, err = capsys.readouterr()
        return Ended(status, out, err)

    return run


@pytest.fixture
def at_server(bulkhead: Bulkhead, server: HttpServer, monkeypatch: pytest.MonkeyPatch) -> Bulkhead:
    """Run the program with the server as its default."""
    host, port = server.address
    monkeypatch.setenv("INFLUXDB3_HOST_URL", f"http://{host}:{port}")
    return bulkhead
