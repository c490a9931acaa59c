"""A real server in a process of its own, driven from outside as users do."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, urlencode, urlsplit

import psutil

T = TypeVar("T")
READY = re.compile(r"ready: (http://\S+)")
ENVIRONMENT = {"INFLUXDB3_DISABLE_DOTENV": "1", "PYTHONFAULTHANDLER": "1"}


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    def json(self) -> Any:  # noqa: ANN401  whatever the server said
        return json.loads(self.body)


def eventually(look: Callable[[], T], *, within_s: float = 30.0, every_s: float = 0.02) -> T:
    """Look until what is seen is true, and return it."""
    deadline_s = time.monotonic() + within_s
    while True:
        seen = look()
        if seen:
            return seen
        if time.monotonic() > deadline_s:
            raise AssertionError(f"not within {within_s} s; last seen: {seen!r}")
        threading.Event().wait(every_s)


def common_folder(parent: Path, name: str = "common") -> Path:
    """Make a folder for a test and for plugins that are granted it, under whatever user id."""
    folder = parent / name
    folder.mkdir(parents=True)
    folder.chmod(0o777)
    return folder


class Server:
    """One data folder and plugin folder, and the server process on them, if it runs."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.data = folder / "data"
        self.plugins = folder / "plugins"
        self.plugins.mkdir(parents=True, exist_ok=True)
        self.options = options
        self.program = "engine"  # the module that is started
        self.prefix: list[str] = []  # of the command line: a program that starts it
        self.environment: dict[str, str] = {}
        self.output: list[str] = []
        self.url = ""
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def status(self) -> int | None:
        """How the process has ended, None while it runs, 0 before it was started."""
        return 0 if self._process is None else self._process.poll()

    def start(self) -> Server:
        command = [*self.prefix, sys.executable, "-m", self.program, "serve", "--node-id", "node0"]
        command += ["--data-dir", str(self.data), "--plugin-dir", str(self.plugins)]
        command += ["--http-bind", "127.0.0.1:0", "--without-auth"]
        command += ["--wal-flush-interval", "50ms", *self.options]
        self.output, self.url = [], ""
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            env={**os.environ, **ENVIRONMENT, **self.environment},
        )
        is_ready = threading.Event()
        reading = (self._process, is_ready)
        self._reader = threading.Thread(target=self._read, args=reading, daemon=True)
        self._reader.start()
        if not is_ready.wait(60) or not self.url:
            raise AssertionError("no ready line:\n" + "".join(self.output))
        return self

    def _read(self, process: subprocess.Popen[str], is_ready: threading.Event) -> None:
        assert process.stdout is not None
        with process.stdout as lines:
            for line in lines:
                self.output.append(line)
                if found := READY.search(line):
                    self.url = found[1]
                    is_ready.set()
        is_ready.set()

    def kill(self) -> None:
        """End the process as a power cut would."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(10)

    def stop(self, within_s: float = 30.0) -> int:
        """Ask the process to end as Ctrl-C does; return its exit status."""
        assert self._process is not None
        self._process.send_signal(signal.SIGINT)
        try:
            return self._process.wait(within_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"not ended within {within_s:g} s:\n{self._stacks()}") from None

    def close(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self.stop()

    def _stacks(self) -> str:
        """End the process; return the stacks of its threads, after the last lines before them."""
        assert self._process is not None
        assert self._reader is not None
        self._process.send_signal(signal.SIGABRT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(5)
        self.kill()
        self._reader.join(5)
        return "".join(self.output[-200:])

    def request(
        self,
        method: str,
        path: str,
        body: bytes | str | None = None,
        headers: dict[str, str] | None = None,
        **params: object,
    ) -> Answer:
        target = quote(path) + (f"?{urlencode(params)}" if params else "")
        parts = urlsplit(self.url)
        assert parts.hostname is not None
        connection = http.client.HTTPConnection(parts.hostname, parts.port or 80, timeout=60)
        with contextlib.closing(connection):
            content = body.encode() if isinstance(body, str) else body
            connection.request(method, target, content, headers or {})
            answer = connection.getresponse()
            names = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, names, answer.read())

    def post_json(self, path: str, document: object) -> Answer:
        headers = {"Content-Type": "application/json"}
        return self.request("POST", path, json.dumps(document), headers)

    def write(self, database: str, lines: str, **params: object) -> Answer:
        return self.request("POST", "/api/v3/write_lp", lines, None, db=database, **params)

    def sql(self, database: str, query: str) -> list[dict[str, Any]]:
        answer = self.request("GET", "/api/v3/query_sql", db=database, q=query, format="json")
        assert answer.status == 200, answer.text
        rows: list[dict[str, Any]] = answer.json()
        return rows

    def count(self, database: str, table: str) -> int:
        """Return the number of rows of a table, 0 while it does not exist."""
        answer = self.request(
            "GET",
            "/api/v3/query_sql",
            db=database,
            q=f'SELECT count(*) AS n FROM "{table}"',  # noqa: S608  ours
        )
        return int(answer.json()[0]["n"]) if answer.status == 200 else 0

    def create_database(self, name: str) -> None:
        answer = self.post_json("/api/v3/configure/database", {"db": name})
        assert answer.status == 200, answer.text

    def plugin(self, name: str, code: str) -> None:
        file = self.plugins / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(code)

    def trigger(
        self,
        database: str,
        name: str,
        spec: str,
        plugin: str,
        *,
        arguments: dict[str, str] | None = None,
        error_behavior: str = "log",
        run_async: bool = False,
        grants: Sequence[str] = (),
    ) -> Answer:
        document = {
            "db": database,
            "trigger_name": name,
            "trigger_specification": spec,
            "plugin_filename": plugin,
            "trigger_settings": {
                "run_async": run_async,
                "error_behavior": error_behavior,
                "grants": list(grants),
            },
            "trigger_arguments": arguments,
            "disabled": False,
        }
        return self.post_json("/api/v3/configure/processing_engine_trigger", document)

    def logs(self, database: str, trigger: str, level: str | None = None) -> list[str]:
        """Return what a trigger has logged, oldest first."""
        rows = self.sql(
            database,
            "SELECT log_level, log_text FROM system.processing_engine_logs "  # noqa: S608  ours
            f"WHERE trigger_name = '{trigger}' ORDER BY event_time",
        )
        return [row["log_text"] for row in rows if level is None or row["log_level"] == level]

    def workers(self) -> list[psutil.Process]:
        """Return the worker processes."""
        children = psutil.Process(self.pid).children(recursive=True)
        return [child for child in children if _is_worker(child)]


@contextlib.contextmanager
def serving(folder: Path, *options: str) -> Iterator[Server]:
    """Run a server until the end of the block."""
    server = Server(folder, *options)
    try:
        yield server.start()
    finally:
        server.close()


def _is_worker(process: psutil.Process) -> bool:
    try:
        return process.name() != "bwrap" and "runtime" in " ".join(process.cmdline())
    except psutil.Error:  # it has ended meanwhile
        return False
