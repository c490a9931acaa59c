"""Backups as a download."""

import io
import socket
import tarfile
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import replace

import httpx
import pytest

from engine.errors import Busy
from engine.http.app import make_app
from engine.http.server import HttpServer
from engine.upkeep.archive import Member
from engine.upkeep.backup import BackupStream
from engine.upkeep.manifest import BackedUp, Manifest
from tests.http_services import EdgeParts
from tests.serving import eventually

PATH = "/api/v3/backup"


class OneBackup:
    """Has one file to back up."""

    def __init__(self) -> None:
        self.content = b"x" * 100
        self.size_bytes = 100
        self.seen: list[bool] = []
        self.closed = 0
        self.refusal: Exception | None = None

    def begin(self, *, with_plugins: bool) -> BackupStream:
        if self.refusal is not None:
            raise self.refusal
        self.seen.append(with_plugins)
        ending = ExitStack()
        ending.callback(self._note_closed)
        path = "node/wal/1.wal"
        manifest = Manifest("u", "n", 0, 1, (BackedUp(path, self.size_bytes, 0),))
        member = Member(path, self.size_bytes, 0, lambda: io.BytesIO(self.content))
        return BackupStream(manifest, [member], ending)

    def _note_closed(self) -> None:
        self.closed += 1


@pytest.fixture
def backups() -> OneBackup:
    return OneBackup()


@pytest.fixture
def address(parts: EdgeParts, backups: OneBackup) -> Iterator[tuple[str, int]]:
    server = HttpServer(
        make_app(replace(parts.services(), backups=backups)), ("127.0.0.1", 0), parts.limits
    )
    server.start()
    yield server.address
    assert server.stop(5.0)


def url(address: tuple[str, int]) -> str:
    return f"http://{address[0]}:{address[1]}{PATH}"


def test_archive_is_sent_whole_with_its_length(
    address: tuple[str, int], backups: OneBackup
) -> None:
    answer = httpx.get(url(address))

    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/x-tar"
    assert int(answer.headers["content-length"]) == len(answer.content)
    with tarfile.open(fileobj=io.BytesIO(answer.content)) as tar:
        assert tar.getnames() == ["node/wal/1.wal", "manifest.json"]
    assert backups.seen == [True]
    assert eventually(lambda: backups.closed == 1)


def test_plugins_are_left_out_when_asked(address: tuple[str, int], backups: OneBackup) -> None:
    httpx.get(url(address), params={"plugins": "false"})

    assert backups.seen == [False]


def test_second_backup_is_told_to_come_again(address: tuple[str, int], backups: OneBackup) -> None:
    backups.refusal = Busy("another backup is being made")

    answer = httpx.get(url(address))

    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")


def test_server_without_backups_does_not_know_the_path(client: httpx.Client) -> None:
    assert client.get(PATH).status_code == 404


def test_client_that_leaves_ends_the_backup(address: tuple[str, int], backups: OneBackup) -> None:
    backups.size_bytes = 1 << 30  # far more than the socket takes; what is not there is zeros
    with closing(socket.create_connection(address, timeout=5)) as client:
        client.sendall(f"GET {PATH} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
        assert client.recv(100).startswith(b"HTTP/1.1 200 OK")

    eventually(lambda: backups.closed == 1)
