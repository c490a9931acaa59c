"""What tests of request plugins share: a plugin at a path, and answers read piece by piece."""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from tests.serving import Server, common_folder

ENGINE = "/api/v3/engine/"
TRIGGERS = "/api/v3/configure/processing_engine_trigger"


@dataclass(frozen=True, slots=True)
class Gate:
    """A file that blocks whoever reads it until somebody lets him go."""

    path: Path

    @classmethod
    def make(cls, folder: Path) -> Gate:
        path = common_folder(folder) / "gate"
        os.mkfifo(path)
        return cls(path)

    @property
    def grant(self) -> str:
        """What a plugin needs that waits here."""
        return f"read={self.path.parent}"

    def let_go(self) -> None:
        with self.path.open("w") as writer:
            writer.write("go")


def add(
    server: Server,
    name: str,
    code: str,
    *,
    arguments: dict[str, str] | None = None,
    settings: dict[str, object] | None = None,
) -> None:
    """Serve a plugin's text at the path of its name."""
    server.plugin(f"{name}.py", textwrap.dedent(code))
    document = {
        "db": "db",
        "trigger_name": name,
        "trigger_specification": f"request:{name}",
        "plugin_filename": f"{name}.py",
        "trigger_settings": {"run_async": False, "error_behavior": "log", **(settings or {})},
        "trigger_arguments": arguments,
        "disabled": False,
    }
    answer = server.post_json(TRIGGERS, document)
    assert answer.status == 200, answer.text


@contextlib.contextmanager
def opened(
    server: Server, name: str, method: str = "GET", body: bytes | None = None
) -> Iterator[http.client.HTTPResponse]:
    """Ask for an answer and read no more than its head."""
    parts = urlsplit(server.url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 80, timeout=30)
    with contextlib.closing(connection):
        connection.request(method, ENGINE + name, body)
        yield connection.getresponse()


@contextlib.contextmanager
def sent(server: Server, target: str, timeout_s: float = 30.0) -> Iterator[socket.socket]:
    parts = urlsplit(server.url)
    address = (parts.hostname, parts.port)
    with socket.create_connection(address, timeout=timeout_s) as client:
        client.sendall(f"GET {ENGINE}{target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        yield client
