"""The server as a process: what it prints, how it is reached, how it ends."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

READY = re.compile(
    r"Bulkhead \S+ ready: (?P<url>http://\S+)  plugins: (?P<plugins>\S+)  data: (?P<data>\S+)  "
    r"sandbox: (?P<sandbox>[^:]+)  tokens: not in force\n"
)


@contextmanager
def serving(folder: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder)}
    process = subprocess.Popen(
        [sys.executable, "-m", "engine", "serve", "--http-bind", "localhost:0", *options],
        cwd=Path(__file__).parents[3],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_server_tells_where_it_is_and_ends_by_signal(tmp_path: Path, number: int) -> None:
    with serving(tmp_path, "--without-auth") as process:
        ready = READY.fullmatch(process.stdout.readline())
        health = httpx.get(ready["url"] + "/health")
        process.send_signal(number)
        rest, errors = process.communicate(timeout=20)

    assert health.text == "OK"
    assert ready["data"] == str(tmp_path / ".influxdb3")
    assert ready["plugins"] == str(tmp_path / ".influxdb3" / "plugins")
    assert re.fullmatch(r"level (A|A-|B|C)( \(.*; bulkhead show sandbox\))?", ready["sandbox"])
    assert (process.returncode, rest) == (0, "")
    assert "Using auto-generated node id: " in errors
    assert "warning" not in errors


def test_server_tells_that_plugins_are_not_confined(tmp_path: Path) -> None:
    with serving(tmp_path, "--node-id", "n", "--sandbox", "off") as process:
        ready = READY.fullmatch(process.stdout.readline())

    assert ready["sandbox"] == "off (plugins are not confined)"


def test_address_that_is_taken_fails_the_command(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        bind = f"127.0.0.1:{taken.getsockname()[1]}"
        with serving(tmp_path, "--node-id", "n", "--http-bind", bind) as process:
            out, errors = process.communicate(timeout=20)

    assert (process.returncode, out) == (1, "")
    assert "Serve command failed: " in errors
    assert "in use" in errors
    assert "Traceback" not in errors
    assert "auto-generated" not in errors


def test_address_for_all_gets_a_warning(tmp_path: Path) -> None:
    with serving(tmp_path, "--http-bind", "[::]:0", "--node-id", "n") as process:
        assert READY.fullmatch(process.stdout.readline())
        process.terminate()
        _, errors = process.communicate(timeout=20)

    assert "warning: listening on ::, and tokens are not in force" in errors
