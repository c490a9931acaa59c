"""A private server: a process of its own on a folder that is thrown away afterwards."""

from __future__ import annotations

import os
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

__all__ = ["NotStarted", "PrivateServer", "private_server"]

_PLUGINS = Path(__file__).parents[2] / "plugins"
_READY = re.compile(r"ready: (http://\S+).*  sandbox: (.+?)  ")
_START_TIMEOUT_S = 60.0
_STOP_TIMEOUT_S = 15.0
_FOLDER_PREFIX = "bulkhead-demo-"


class NotStarted(Exception):
    """The server cannot be had; the text says why."""


@dataclass(frozen=True, slots=True)
class PrivateServer:
    """A running server.

    Args:
        url: where it answers.
        sandbox: how it says that it confines plugins.
        process: its process.
        log: the file of its log.
    """

    url: str
    sandbox: str
    process: subprocess.Popen[str]
    log: Path

    @property
    def is_running(self) -> bool:
        """Whether the process that was started is still there."""
        return self.process.poll() is None

    def last_words(self) -> str:
        """Return the end of the server's log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-20:])


@contextmanager
def private_server() -> Iterator[PrivateServer]:
    """Run a server until the end of the block; then neither process nor folder is left.

    Raises:
        NotStarted: the example plugins are missing, or the server does not come up.
    """
    if not (_PLUGINS / "write_report").is_dir():
        raise NotStarted(
            f"the example plugins are not in {_PLUGINS}: "
            "the demonstration runs from a checkout of the repository only"
        )
    folder = Path(tempfile.mkdtemp(prefix=_FOLDER_PREFIX))
    try:
        _copy_plugins(folder / "plugins")
        with ExitStack() as ending:
            with _uninterrupted(), (folder / "server.log").open("wb") as log:
                process = _start(folder, log.fileno())
                ending.callback(_stop, process)
            url, sandbox = _ready(process, folder)
            yield PrivateServer(url, sandbox, process, folder / "server.log")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _copy_plugins(target: Path) -> None:
    beside = shutil.ignore_patterns("test_*", "conftest.py", "__pycache__", "*.md")
    shutil.copytree(_PLUGINS, target, ignore=beside)


def _start(folder: Path, log: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "engine", "serve", "--node-id", "demo"]
    command += ["--data-dir", str(folder / "data"), "--plugin-dir", str(folder / "plugins")]
    command += ["--http-bind", "127.0.0.1:0", "--wal-flush-interval", "250ms"]
    # Its plugins are our own examples, so it can be shown on a machine that could not hold others.
    command += ["--without-auth", "--sandbox", "best-effort"]
    # Settings of a server that the user runs are not meant for this one.
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("INFLUXDB3_", "BULKHEAD_")) or name == "BULKHEAD_BWRAP"
    }
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
        env=environment,
        cwd=folder,
        start_new_session=True,  # Ctrl-C is for the demonstration, which then stops the server
    )


def _ready(process: subprocess.Popen[str], folder: Path) -> tuple[str, str]:
    assert process.stdout is not None  # noqa: S101  it was asked for
    is_readable = select.select([process.stdout], [], [], _START_TIMEOUT_S)[0]
    line = process.stdout.readline() if is_readable else ""
    found = _READY.search(line)
    if found is None:
        log = (folder / "server.log").read_text(errors="replace")
        raise NotStarted(f"the server did not start:\n{line}{log}")
    return found[1], found[2]


def _stop(process: subprocess.Popen[str]) -> None:
    with _uninterrupted():
        process.send_signal(signal.SIGINT)
        try:
            process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Let signals to end take effect after the block, so that no process is left behind."""
    come: list[int] = []
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {n: signal.signal(n, lambda number, _frame: come.append(number)) for n in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if come:
        raise KeyboardInterrupt
