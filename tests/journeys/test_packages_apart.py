"""Plugins that cannot share an environment, side by side: real packages, real servers.

The packages come from the index, once for all tests: the servers share a cache.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.environments.interpreters import Interpreters
from tests.serving import Answer, Server, eventually, serving

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

TRIGGERS = "/api/v3/configure/processing_engine_trigger"
# Answers with the versions of the packages that its request names, as the import finds them.
TELLS = """\
import importlib, sys

def process_request(influxdb3_local, query_parameters, request_headers, request_body, args=None):
    seen = {"python": sys.version.split()[0]}
    for name in filter(None, query_parameters.get("modules", "").split(",")):
        seen[name] = getattr(importlib.import_module(name), "__version__", "none")
    return seen
"""
COPIES = """\
# /// script
# dependencies = ["iniconfig=={version}"]
# ///
from importlib.metadata import version

def process_writes(influxdb3_local, table_batches, args=None):
    for batch in table_batches:
        for row in batch["rows"]:
            line = LineBuilder("out").tag("seen", version("iniconfig")).int64_field("n", row["n"])
            influxdb3_local.write(line.time_ns(row["time"]))
"""


@pytest.fixture
def server(tmp_path: Path, package_cache: Path) -> Iterator[Server]:
    with serving(tmp_path, "--package-cache-dir", str(package_cache)) as running:
        running.create_database("db")
        running.plugin("tells.py", TELLS)
        yield running


def create(server: Server, name: str, plugin: str, *requirements: str, **settings: Any) -> Answer:  # noqa: ANN401  JSON
    document = {
        "db": "db",
        "trigger_name": name,
        "trigger_specification": settings.pop("spec", f"request:{name}"),
        "plugin_filename": plugin,
        "trigger_settings": {"limits": {"memory": "1GiB"}, **settings},
        "disabled": False,
    }
    if requirements:
        document["requirements"] = list(requirements)
    return server.post_json(TRIGGERS, document)


def tells(server: Server, name: str, *modules: str) -> dict[str, str]:
    answer = server.request("GET", f"/api/v3/engine/{name}", modules=",".join(modules))
    assert answer.status == 200, answer.text
    told: dict[str, str] = answer.json()
    return told


def update(server: Server, name: str, **change: object) -> Answer:
    body = json.dumps({"db": "db", "trigger_name": name, **change})
    return server.request("PUT", TRIGGERS, body, {"Content-Type": "application/json"})


def test_pins_that_exclude_each_other_work_at_the_same_time(server: Server) -> None:
    assert create(server, "old", "tells.py", "packaging==23.2").status == 200
    assert create(server, "new", "tells.py", "packaging==24.2").status == 200

    for _ in range(3):
        assert tells(server, "old", "packaging")["packaging"] == "23.2"
        assert tells(server, "new", "packaging")["packaging"] == "24.2"


def test_pandas_2_works_next_to_pandas_3(server: Server) -> None:
    answer = create(server, "two", "tells.py", "pandas<3")
    assert answer.status == 200, answer.text
    answer = create(server, "three", "tells.py", "pandas>=3")
    assert answer.status == 200, answer.text

    assert tells(server, "two", "pandas")["pandas"].startswith("2.")
    assert tells(server, "three", "pandas")["pandas"].startswith("3.")


def test_two_versions_of_python_work_at_the_same_time(server: Server) -> None:
    ours = sys.version_info[:2]
    others = {i.version[:2] for i in Interpreters().found() if i.version[:2] > ours}
    if not others:
        pytest.skip("there is one Python that workers run on")
    major, minor = max(others)
    for version in (ours, (major, minor)):
        text = f'# /// script\n# requires-python = "=={version[0]}.{version[1]}.*"\n'
        script = text + f'# dependencies = ["iniconfig"]\n# ///\n{TELLS}'
        server.plugin(f"on{version[1]}.py", script)
        answer = create(server, f"on{version[1]}", f"on{version[1]}.py")
        assert answer.status == 200, answer.text

    for version in (ours, (major, minor)):
        told = tells(server, f"on{version[1]}", "iniconfig")
        assert told["python"].startswith(f"{version[0]}.{version[1]}.")


def test_plugin_uses_another_pyzmq_and_msgpack_than_the_worker(server: Server) -> None:
    answer = create(server, "theirs", "tells.py", "pyzmq==26.4.0", "msgpack==1.1.0")
    assert answer.status == 200, answer.text

    told = tells(server, "theirs", "zmq", "msgpack")

    assert told["zmq"] == "26.4.0"
    assert tells(server, "theirs", "zmq") == {"python": told["python"], "zmq": "26.4.0"}


def test_modules_of_a_plugin_may_have_the_names_of_ours(server: Server) -> None:
    names = ("zmq", "msgpack", "worker", "engine")
    entry = "".join(f"from . import {name} as own_{name}\nimport {name}\n" for name in names)
    for name in names:
        server.plugin(f"names/{name}.py", f'__version__ = "own {name}"\n')
    server.plugin("names/requirements.txt", "iniconfig\n")
    server.plugin(
        "names/__init__.py",
        "import sys\nsys.path.insert(0, __path__[0])\n" + entry + TELLS,
    )
    answer = create(server, "names", "names")
    assert answer.status == 200, answer.text

    told = tells(server, "names", *names, "iniconfig")

    assert {name: told[name] for name in names} == {name: f"own {name}" for name in names}


def test_an_upgrade_and_a_rollback_under_load_lose_no_event(server: Server) -> None:
    server.plugin("copies.py", COPIES.format(version="1.1.1"))
    answer = create(server, "copies", "copies.py", spec="table:t")
    assert answer.status == 200, answer.text
    written, is_over = [0], threading.Event()

    def write() -> None:
        while not is_over.is_set():
            n = written[0]
            assert server.write("db", f"t n={n}i {n + 1}000000000").status == 204
            written[0] += 1

    def versions() -> set[str]:
        query = "SELECT DISTINCT seen FROM out"
        answer = server.request("GET", "/api/v3/query_sql", db="db", q=query, format="json")
        return {row["seen"] for row in answer.json()} if answer.status == 200 else set()

    def newest() -> str:
        [row] = server.sql("db", "SELECT seen FROM out ORDER BY n DESC LIMIT 1")
        return str(row["seen"])

    writer = threading.Thread(target=write)
    writer.start()
    try:
        eventually(lambda: versions() == {"1.1.1"}, within_s=60)
        server.plugin("copies.py", COPIES.format(version="2.0.0"))
        eventually(lambda: newest() == "2.0.0", within_s=60)
        body = {"db": "db", "trigger_name": "copies"}
        path = "/api/v3/configure/plugin_environment/rollback"
        answer = server.post_json(path, body)
        assert answer.status == 200, answer.text
        assert answer.json()["changed"] == {"iniconfig": ["2.0.0", "1.1.1"]}
        eventually(lambda: newest() == "1.1.1", within_s=60)
    finally:
        is_over.set()
        writer.join()

    eventually(lambda: server.count("db", "out") == written[0], within_s=60)


def test_requirement_that_cannot_be_met_leaves_nothing_behind(server: Server) -> None:
    answer = create(server, "no", "tells.py", "packaging==23.2", "packaging==24.2")
    assert 400 <= answer.status < 500
    assert "packaging" in answer.text
    answer = create(server, "no", "tells.py", "no-such-package-as-this-one-here")
    assert 400 <= answer.status < 500
    assert "no-such-package-as-this-one-here" in answer.text

    rows = server.sql("db", "SELECT * FROM system.processing_engine_triggers")
    assert rows == []
    assert create(server, "no", "tells.py", "packaging==24.2").status == 200


def test_two_servers_share_a_cache_at_the_same_time(tmp_path: Path, package_cache: Path) -> None:
    options = ("--package-cache-dir", str(package_cache))
    answers: list[Answer] = []
    with serving(tmp_path / "a", *options) as a, serving(tmp_path / "b", *options) as b:
        for server in (a, b):
            server.create_database("db")
            server.plugin("tells.py", TELLS)

        def fill(server: Server) -> None:
            answers.append(create(server, "asks", "tells.py", "requests==2.32.3"))

        threads = [threading.Thread(target=fill, args=(server,)) for server in (a, b)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert [answer.status for answer in answers] == [200, 200], [a.text for a in answers]
        for server in (a, b):
            assert tells(server, "asks", "requests")["requests"] == "2.32.3"
