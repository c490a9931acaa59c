"""Plugins that are edited, uploaded, fetched and lost while rows keep coming."""

from __future__ import annotations

import http.server
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import pytest

from tests.serving import Answer, Server, eventually, serving

# Every row that comes in goes out once, under an id of its own run: a row that is lost is
# missing, and one that is handled twice is there twice.
COPY = """\
import os

def process_writes(influxdb3_local, table_batches, args=None):
    run = os.urandom(8).hex()
    for batch in table_batches:
        for row in batch["rows"]:
            line = LineBuilder("out").tag("run", run).tag("by", {by})
            line.int64_field("n", row["n"]).time_ns(row["time"])
            influxdb3_local.write(line)
"""
PLAIN = COPY.replace("{by}", "'VERSION'")
FROM_MODULE = "from .version import NAME\n" + COPY.replace("{by}", "NAME")
SETTLED_S = 0.025  # of the 0.03 s that a file has to rest
LATEST = 'SELECT n, "by" FROM out ORDER BY n DESC LIMIT 1'
ANSWER = "def process_request(local, query, headers, body, args=None):\n    return 'VERSION'\n"


class Writing:
    """Writes numbered rows, one after the other, until it is told to stop."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.written = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(30)

    def _run(self) -> None:
        while not self._stop.is_set():
            self._server.write("db", f"t n={self.written}i {self.written + 1}000000000")
            self.written += 1


@pytest.fixture
def database(server: Server) -> Server:
    server.create_database("db")
    return server


def put(server: Server, path: str, document: object) -> Answer:
    headers = {"Content-Type": "application/json"}
    return server.request("PUT", f"/api/v3/plugins/{path}", json.dumps(document), headers)


def state(server: Server, trigger: str) -> str:
    sql = "SELECT trigger_name, state FROM system.processing_engine_triggers"
    return {row["trigger_name"]: row["state"] for row in server.sql("db", sql)}[trigger]


def serves(server: Server, version: str) -> Callable[[], bool]:
    def look() -> bool:
        answer = server.request("GET", "/api/v3/query_sql", db="db", q=LATEST, format="json")
        return answer.status == 200 and bool(answer.json()) and answer.json()[0]["by"] == version

    return look


def nothing_was_lost_or_doubled(server: Server, count: int, *, may_fail: bool = False) -> None:
    eventually(lambda: server.count("db", "out") >= count)
    rows = server.sql("db", 'SELECT n, "by" FROM out ORDER BY n')
    times = Counter(row["n"] for row in rows)
    assert [n for n in range(count) if times[n] != 1] == []
    assert may_fail or server.logs("db", "t", "ERROR") == []


def change_under_writes(
    server: Server,
    change: Callable[[int], None],
    rounds: int = 4,
    may_fail: Callable[[], bool] = lambda: False,
) -> None:
    """Change a plugin several times while rows are written, and see each version at work."""
    with Writing(server) as writing:
        eventually(serves(server, "v0"))
        for number in range(1, rounds + 1):
            change(number)
            eventually(serves(server, f"v{number}"))
    nothing_was_lost_or_doubled(server, writing.written, may_fail=may_fail())


def test_an_edited_file_serves_the_next_event_and_loses_none(database: Server) -> None:
    pauses_s: list[float] = []

    def save(number: int) -> None:
        """Write the file in place, a line at a time, as slow editors and copies do."""
        code = PLAIN.replace("VERSION", f"v{number}").replace("def process_writes", "def copy")
        with (database.plugins / "copy.py").open("w") as file:
            for line in [*code.splitlines(keepends=True), "process_writes = copy\n"]:
                began_s = time.monotonic()
                file.write(line)
                file.flush()
                threading.Event().wait(0.01)
                pauses_s.append(time.monotonic() - began_s)

    save(0)
    database.trigger("db", "t", "table:t", "copy.py", error_behavior="retry")

    # Half a file is met only when the machine held the editor up for longer than the server waits;
    # then the event fails, for want of the last line, and is tried again.
    change_under_writes(database, save, may_fail=lambda: max(pauses_s) > SETTLED_S)


def test_an_edited_module_of_a_folder_serves_the_next_event_and_loses_none(
    database: Server,
) -> None:
    database.plugin("copy/__init__.py", FROM_MODULE)
    database.plugin("copy/version.py", "NAME = 'v0'\n")
    database.trigger("db", "t", "table:t", "copy")

    change_under_writes(
        database, lambda number: database.plugin("copy/version.py", f"NAME = 'v{number}'\n")
    )

    assert not list(database.plugins.rglob("copy/__pycache__"))


def test_an_uploaded_file_serves_the_next_event_and_loses_none(database: Server) -> None:
    def upload(number: int) -> None:
        name, code = "deep/copy.py", PLAIN.replace("VERSION", f"v{number}")
        if number % 2:
            answer = put(database, "files", {"plugin_name": "t", "content": code})
        else:
            document = {"plugin_name": name, "content": code}
            answer = database.post_json("/api/v3/plugins/files", document)
        assert (answer.status, answer.body) == (200, b"")

    upload(0)
    database.trigger("db", "t", "table:t", "deep/copy.py")

    change_under_writes(database, upload)

    assert (database.plugins / "deep/copy.py").stat().st_mode & 0o777 == 0o644
    assert not (database.plugins / ".uploads").exists()


def test_an_uploaded_folder_serves_the_next_event_and_loses_none(database: Server) -> None:
    def upload(number: int) -> None:
        files = [
            {"relative_path": "__init__.py", "content": FROM_MODULE},
            {"relative_path": "version.py", "content": f"NAME = 'v{number}'\n"},
        ]
        answer = put(database, "directory", {"plugin_name": "t", "files": files})
        assert (answer.status, answer.body) == (200, b"")

    database.plugin("copy/__init__.py", FROM_MODULE)
    database.plugin("copy/version.py", "NAME = 'v0'\n")
    database.plugin("copy/left.py", "")
    database.trigger("db", "t", "table:t", "copy")

    change_under_writes(database, upload)

    names = sorted(file.name for file in (database.plugins / "copy").iterdir())
    assert names == ["__init__.py", "version.py"]
    assert not (database.plugins / ".uploads").exists()


def test_a_deleted_plugin_serves_on_waits_after_a_restart_and_comes_back(
    database: Server,
) -> None:
    file = database.plugins / "answer.py"
    file.write_text(ANSWER.replace("VERSION", "one"))
    database.plugin("copy.py", PLAIN.replace("VERSION", "v0"))
    database.trigger("db", "a", "request:a", "answer.py")
    database.trigger("db", "t", "table:t", "copy.py")
    assert database.request("GET", "/api/v3/engine/a").text == "one"
    file.unlink()
    for _ in range(3):
        assert database.request("GET", "/api/v3/engine/a").text == "one"
    (warning,) = database.logs("db", "a", "WARN")
    assert f"Plugin not found: {file}" in warning
    assert "last good copy" in warning

    (database.plugins / "copy.py").unlink()
    database.stop()
    database.start()

    error = eventually(lambda: database.logs("db", "a", "ERROR"))[0]
    assert "worker did not start: reading plugin file: Plugin not found" in error
    eventually(lambda: state(database, "t") == "broken")
    database.write("db", "t n=0i 1\nt n=1i 2\n")
    file.write_text(ANSWER.replace("VERSION", "two"))
    database.plugin("copy.py", PLAIN.replace("VERSION", "v1"))
    eventually(lambda: database.request("GET", "/api/v3/engine/a").text == "two")
    eventually(lambda: database.count("db", "out") == 2)
    eventually(lambda: state(database, "t") == "ready")


class Repo(http.server.BaseHTTPRequestHandler):
    """Serves `files`."""

    files: dict[str, str]
    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        text = self.files.get(self.path)
        self.send_response(404 if text is None else 200)
        self.end_headers()
        self.wfile.write((text or "").encode())

    def log_message(self, *_: object) -> None:
        """Keep the output of tests clean."""


@contextmanager
def repository() -> Iterator[tuple[str, type[Repo]]]:
    handler = type("Files", (Repo,), {"files": {}, "asked": []})
    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=running.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{running.server_address[1]}/plugins", handler
    finally:
        running.shutdown()
        thread.join()
        running.server_close()


def test_a_plugin_of_the_repository_is_fetched_at_each_start_and_outlives_its_source(
    tmp_path: Path,
) -> None:
    with repository() as (url, repo):
        repo.files["/plugins/a/answer.py"] = ANSWER.replace("VERSION", "one")
        with serving(tmp_path, "--plugin-repo", url + "/") as server:
            server.create_database("db")
            missing = server.trigger("db", "x", "request:x", "gh:nope.py")
            assert server.trigger("db", "t", "request:a", "gh:a/answer.py").status == 200
            assert server.request("GET", "/api/v3/engine/a").text == "one"
            fetched = len(repo.asked)
            repo.files["/plugins/a/answer.py"] = ANSWER.replace("VERSION", "two")
            assert server.request("GET", "/api/v3/engine/a").text == "one"
            assert len(repo.asked) == fetched

            server.stop()
            server.start()

            assert server.request("GET", "/api/v3/engine/a").text == "two"
            server.stop()
            del repo.files["/plugins/a/answer.py"]
            server.start()
            assert server.request("GET", "/api/v3/engine/a").text == "two"
            (warning,) = server.logs("db", "t", "WARN")

    assert missing.status == 500
    text = f"error fetching plugin from repository: 404 Not Found {url}"
    assert missing.text == f"Plugin error: {text}/nope.py"
    assert warning.startswith(f"{text}/a/answer.py; the last good copy is used")
    assert any("last good copy" in line and " WARNING " in line for line in server.output)
