"""Packages that are installed while plugins work."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import pytest

from tests.serving import Answer, Server, common_folder, eventually, serving

PACKAGES = "/api/v3/configure/plugin_environment/install_packages"
REQUIREMENTS = "/api/v3/configure/plugin_environment/install_requirements"
# Says with each row which version of the package it sees.
SEES = """\
def process_writes(influxdb3_local, table_batches, args=None):
    try:
        from importlib.metadata import version
        seen = version("iniconfig") or "none"
        import iniconfig
    except ImportError:
        seen = "none"
    for batch in table_batches:
        for row in batch["rows"]:
            line = LineBuilder("out").tag("seen", seen).int64_field("n", row["n"])
            influxdb3_local.write(line.time_ns(row["time"]))
"""
SLOW = """\
import time
from pathlib import Path

def process_request(influxdb3_local, query_parameters, request_headers, request_body, args=None):
    if "wait" in query_parameters:
        Path(query_parameters["wait"]).touch()
        time.sleep(1.2)
    try:
        import iniconfig
        return "there"
    except ImportError:
        return "missing"
"""


@pytest.fixture
def database(server: Server) -> Server:
    server.create_database("db")
    return server


def install(server: Server, *packages: str) -> Answer:
    return server.post_json(PACKAGES, {"packages": list(packages)})


def command(server: Server, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "engine", "install", "package", "--host", server.url, *words],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "INFLUXDB3_DISABLE_DOTENV": "1"},
    )


def has(server: Server, module: str) -> bool:
    return any(server.plugins.glob(f".venv/lib/*/site-packages/{module}"))


class Rows:
    """Writes numbered rows until the end of the block."""

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
            lines = f"t n={self.written}i {self.written + 1}000000000"
            assert self._server.write("db", lines).status == 204
            self.written += 1


def sees(server: Server, version: str) -> bool:
    query = "SELECT seen FROM out ORDER BY n DESC LIMIT 1"
    answer = server.request("GET", "/api/v3/query_sql", db="db", q=query, format="json")
    return answer.status == 200 and [row["seen"] for row in answer.json()] == [version]


def test_plugins_see_what_was_installed_and_lose_no_row(database: Server) -> None:
    database.plugin("sees.py", SEES)
    # A package that is just being replaced may be met half.
    database.trigger("db", "t", "table:t", "sees.py", error_behavior="retry")

    with Rows(database) as rows:
        eventually(lambda: sees(database, "none"))
        for version, difference in (
            ("2.0.0", {"added": {"iniconfig": "2.0.0"}, "changed": {}}),
            ("1.1.1", {"added": {}, "changed": {"iniconfig": ["2.0.0", "1.1.1"]}}),
        ):
            answer = install(database, f"iniconfig=={version}")
            assert answer.status == 200
            assert answer.json() | difference == answer.json()
            eventually(lambda version=version: sees(database, version))

    eventually(lambda: database.count("db", "out") >= rows.written)
    numbers = [row["n"] for row in database.sql("db", "SELECT n FROM out ORDER BY n")]
    assert numbers == list(range(rows.written))


def test_a_worker_at_rest_is_renewed_and_one_that_knows_all_is_not(database: Server) -> None:
    database.plugin("slow.py", SLOW)
    database.trigger("db", "r", "request:r", "slow.py")
    assert database.request("GET", "/api/v3/engine/r").text == "missing"
    [before] = database.workers()

    install(database, "iniconfig")
    eventually(lambda: [one.pid for one in database.workers()] not in ([before.pid], []))
    [after] = eventually(database.workers)
    install(database, "iniconfig")  # there already

    assert database.request("GET", "/api/v3/engine/r").text == "there"
    assert [one.pid for one in database.workers()] == [after.pid]


@pytest.mark.parametrize("run_async", [False, True])
def test_requests_that_run_meanwhile_are_answered(
    database: Server, tmp_path: Path, run_async: bool
) -> None:
    database.plugin("slow.py", SLOW)
    common = common_folder(tmp_path)
    grants = [f"write={common}"]
    database.trigger("db", "r", "request:r", "slow.py", run_async=run_async, grants=grants)
    assert database.request("GET", "/api/v3/engine/r").text == "missing"
    answers: list[Answer] = []
    marks = [common / str(number) for number in range(2 if run_async else 1)]

    def ask(mark: Path) -> None:
        answers.append(database.request("GET", "/api/v3/engine/r", wait=str(mark)))

    threads = [threading.Thread(target=ask, args=(mark,)) for mark in marks]
    for thread in threads:
        thread.start()
    eventually(lambda: all(mark.exists() for mark in marks))
    assert install(database, "iniconfig").status == 200
    for thread in threads:
        thread.join(30)

    assert [answer.status for answer in answers] == [200] * len(marks)
    eventually(lambda: database.request("GET", "/api/v3/engine/r").text == "there")
    eventually(lambda: len(database.workers()) == 1)
    assert database.logs("db", "r", "ERROR") == []


def test_what_cannot_be_had_is_an_error_that_the_command_tells_as_it_tells_what_was_done(
    database: Server, tmp_path: Path
) -> None:
    missing = install(database, "iniconfig", "no-such-package-by-this-name-a8f3")
    option = install(database, "--index-url=http://127.0.0.1:9/")

    assert (missing.status, option.status) == (422, 400)
    assert "no-such-package-by-this-name-a8f3 was not found" in missing.text
    assert option.text == "'--index-url=http://127.0.0.1:9/' is an option, not a package"
    assert not has(database, "iniconfig")

    listed = tmp_path / "requirements.txt"
    listed.write_text("# what plugins need\niniconfig==2.0.0\n")

    done = command(database, "-r", str(listed), "--package-manager", "pip")
    refused = command(database, "iniconfig==2.0.0", "iniconfig==1.1.1")

    assert (done.returncode, done.stdout, done.stderr) == (0, " + iniconfig==2.0.0\n", "")
    assert has(database, "iniconfig-2.0.0.dist-info")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr.startswith("Install command failed: server responded with error [422 ")
    assert "unsatisfiable" in refused.stderr
    assert command(database).returncode == 2


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Server]:
    options = ["--package-manager", "disabled", "--virtual-env-location", str(tmp_path / "env")]
    with serving(tmp_path, *options) as running:
        yield running


def test_a_server_may_install_nothing_and_keep_its_environment_elsewhere(
    elsewhere: Server, tmp_path: Path
) -> None:
    elsewhere.create_database("db")
    elsewhere.plugin("p.py", "import sys\ndef process_request(*_): return sys.prefix\n")
    elsewhere.trigger("db", "r", "request:r", "p.py")

    by_name = install(elsewhere, "iniconfig")
    by_file = elsewhere.post_json(REQUIREMENTS, {"requirements_location": "x.txt"})

    text = (
        "Package installation has been disabled. Contact your administrator for more information."
    )
    assert [(a.status, a.text) for a in (by_name, by_file)] == [(403, text)] * 2
    assert elsewhere.request("GET", "/api/v3/engine/r").status == 200
    assert (tmp_path / "env" / "bin" / "python").exists()
    assert not (elsewhere.plugins / ".venv").exists()
    assert json.loads(elsewhere.request("GET", "/ping").body)
