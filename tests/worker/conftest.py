"""A real worker process and the engine's end of its lanes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgpack
import pytest
import zmq

import worker
from worker.wire import Fault, Session, decode, encode
from worker.wire import messages as m

ANSWER_LIMIT_MS = 20_000
Answer = Callable[[m.Message], m.Message]


@pytest.fixture(scope="session")
def runtime_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runtime")
    packages = [Path(zmq.__file__).parent, Path(msgpack.__file__).parent]
    libraries = packages[0].parent / "pyzmq.libs"
    if libraries.exists():
        packages.append(libraries)
    packages.append(Path(worker.__file__).parent)
    ignored = shutil.ignore_patterns("tests", "__pycache__")
    for package in packages:
        shutil.copytree(package, folder / package.name, ignore=ignored)
    (folder / "__main__.py").write_text("from worker.__main__ import main\n\nmain()\n")
    return folder


@dataclass
class Finished:
    """What came out of one run."""

    result: m.Result
    lines: list[m.Lines] = field(default_factory=list)
    calls: list[m.Message] = field(default_factory=list)

    @property
    def fault(self) -> Fault:
        assert self.result.fault is not None
        return self.result.fault


def _no_answer(call: m.Message) -> m.Message:
    return m.FaultReply(Fault("none", f"nobody answers {call}"))


class WorkerUnderTest:
    """One process with its lanes; side notes are kept by kind."""

    def __init__(self, process: subprocess.Popen[bytes], sockets: list[zmq.Socket[bytes]]) -> None:
        self.process = process
        self.sockets = sockets
        self.sessions = [Session("engine") for _ in sockets]
        self.logs: list[m.Log] = []
        self.mirrors: list[m.Mirror] = []

    def greet(self, *restores: m.Restore, lane: int = 0) -> m.Hello:
        hello = self.next(lane)
        assert isinstance(hello, m.Hello)
        self.say(m.Welcome(1, len(restores)), lane)
        for restore in restores:
            self.say(restore, lane)
        assert self.next(lane) == m.Ready()
        return hello

    def load(self, text: str, lane: int = 0) -> None:
        self.say(m.Load("plugin.py", textwrap.dedent(text), None), lane)

    def load_folder(self, folder: Path) -> None:
        self.say(m.Load(folder.name, None, str(folder)))

    def run(self, event: m.Message, answer: Answer = _no_answer, lane: int = 0) -> Finished:
        self.say(event, lane)
        return self.finish(answer, lane)

    def finish(self, answer: Answer = _no_answer, lane: int = 0) -> Finished:
        lines, calls = [], []
        while True:
            message = self.next(lane)
            match message:
                case m.Result():
                    return Finished(message, lines, calls)
                case m.Lines():
                    lines.append(message)
                case _:
                    calls.append(message)
                    self.say(answer(message), lane)

    def say(self, message: m.Message, lane: int = 0) -> None:
        self.sessions[lane].sent(message)
        self.sockets[lane].send(encode(message))

    def hear(self, lane: int = 0) -> m.Message:
        """Return the next message, side notes included."""
        if not self.sockets[lane].poll(ANSWER_LIMIT_MS):
            pytest.fail(f"no word from the worker: {self.stderr()}")
        message = decode(self.sockets[lane].recv(), sender="worker")
        self.sessions[lane].received(message)
        return message

    def next(self, lane: int = 0) -> m.Message:
        """Return the next message that is no side note."""
        while True:
            message = self.hear(lane)
            if not self._is_noted(message):
                return message

    def note(self) -> None:
        """Wait for one side note."""
        message = self.hear()
        assert self._is_noted(message), message

    def mirror(self) -> m.Mirror:
        """Return the next side note about the cache."""
        while not self.mirrors:
            self.note()
        return self.mirrors.pop(0)

    def _is_noted(self, message: m.Message) -> bool:
        match message:
            case m.Log():
                self.logs.append(message)
                return True
            case m.Mirror():
                self.mirrors.append(message)
                return True
            case _:
                return False

    def texts(self, level: str) -> list[str]:
        return [log.text for log in self.logs if log.level == level]

    def stop(self) -> int:
        self.say(m.Stop())
        return self.process.wait(20)

    def stderr(self) -> str:
        self.process.kill()
        self.process.wait(20)
        assert self.process.stderr is not None
        return self.process.stderr.read().decode()


StartWorker = Callable[..., WorkerUnderTest]


@pytest.fixture
def start_worker(runtime_dir: Path, tmp_path: Path) -> Iterator[StartWorker]:
    started: list[WorkerUnderTest] = []
    context = zmq.Context()

    def start(
        *,
        lanes: int = 1,
        arguments: dict[str, str] | None = None,
        site_packages: list[Path] | None = None,
        mirror_limit: int = 1 << 20,
        interpreter: str = sys.executable,
    ) -> WorkerUnderTest:
        endpoints = [f"ipc://{tmp_path}/{len(started)}-{lane}" for lane in range(lanes)]
        sockets = [context.socket(zmq.PAIR) for _ in endpoints]
        for socket, endpoint in zip(sockets, endpoints, strict=True):
            socket.setsockopt(zmq.LINGER, 0)
            socket.bind(endpoint)
        launch = {
            "endpoints": endpoints,
            "token": b"secret",
            "trigger": "t",
            "database": "db",
            "kind": "wal",
            "arguments": arguments,
            "plugin_dir": str(tmp_path),
            "site_packages": [str(path) for path in site_packages or []],
            "runtime_dir": str(runtime_dir),
            "environment": sys.prefix,
            "mirror_limit": mirror_limit,
            "confinement": None,
        }
        process = _spawn(interpreter, runtime_dir, msgpack.packb(launch), tmp_path)
        started.append(WorkerUnderTest(process, sockets))
        return started[-1]

    yield start

    for each in started:
        each.process.kill()
        each.process.wait(20)
        if each.process.stderr is not None:
            each.process.stderr.close()
        for socket in each.sockets:
            socket.close()
    context.term()


def _filled(content: bytes) -> int:
    reader, writer = os.pipe()
    os.write(writer, content)
    os.close(writer)
    return reader


def _spawn(
    interpreter: str, runtime_dir: Path, document: bytes, plugin_dir: Path
) -> subprocess.Popen[bytes]:
    reader, gate = _filled(document), _filled(b"\n")
    try:
        return subprocess.Popen(
            [interpreter, "-I", "-S", str(runtime_dir), str(reader)],
            pass_fds=[reader],
            stdin=gate,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env={"TZ": "UTC", "PLUGIN_DIR": str(plugin_dir)},
        )
    finally:
        os.close(gate)
        os.close(reader)
