"""Environments whose building goes wrong: nothing half-made is left, and what served goes on."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.indexing import Index, indexing, wheel, wheel_folder
from tests.serving import Answer, Server, eventually, serving

pytestmark = pytest.mark.timeout(180)

TRIGGERS = "/api/v3/configure/processing_engine_trigger"
TELLS = """\
import importlib

def process_request(influxdb3_local, query_parameters, request_headers, request_body, args=None):
    name = query_parameters["module"]
    return {name: importlib.import_module(name).__version__}
"""
BUILDING = "SELECT last_line FROM system.processing_engine_environments WHERE state = 'building'"


@pytest.fixture
def index() -> Iterator[Index]:
    with indexing() as running:
        running.add(wheel("demo", "1.0"), wheel("demo", "2.0"))
        yield running


@pytest.fixture
def server(tmp_path: Path, index: Index) -> Iterator[Server]:
    running = Server(tmp_path / "server", "--package-host", index.url.split("/")[2])
    running.environment = index.settings
    try:
        running.start()
        running.create_database("db")
        running.plugin("tells.py", TELLS)
        yield running
    finally:
        running.close()


def create(server: Server, name: str, *requirements: str) -> Answer:
    document: dict[str, Any] = {
        "db": "db",
        "trigger_name": name,
        "trigger_specification": f"request:{name}",
        "plugin_filename": "tells.py",
        "trigger_settings": {},
        "disabled": False,
        "requirements": list(requirements),
    }
    return server.post_json(TRIGGERS, document)


def update(server: Server, name: str, *requirements: str) -> Answer:
    body = json.dumps({"db": "db", "trigger_name": name, "requirements": list(requirements)})
    return server.request("PUT", TRIGGERS, body, {"Content-Type": "application/json"})


def tells(server: Server, name: str, module: str = "demo") -> str:
    answer = server.request("GET", f"/api/v3/engine/{name}", module=module)
    assert answer.status == 200, answer.text
    return str(answer.json()[module])


def triggers(server: Server) -> list[str]:
    rows = server.sql("db", "SELECT trigger_name FROM system.processing_engine_triggers")
    return [row["trigger_name"] for row in rows]


def half_made(server: Server) -> list[str]:
    """Return what a build has left in the data folder, running ones apart."""
    return [str(path) for path in server.data.rglob(".building-*")]


class InBackground:
    """A call that is waited for later."""

    def __init__(self, call: Any, *arguments: Any) -> None:  # noqa: ANN401
        self.answers: list[Answer] = []
        self._thread = threading.Thread(target=self._run, args=(call, arguments))
        self._thread.start()

    def _run(self, call: Any, arguments: tuple[Any, ...]) -> None:  # noqa: ANN401
        try:
            self.answers.append(call(*arguments))
        except OSError:  # the server was killed
            self.answers.append(Answer(0, {}, b""))

    def answer(self) -> Answer:
        self._thread.join(60)
        [answer] = self.answers
        return answer


def test_long_build_is_seen_and_holds_up_nothing_else(server: Server, index: Index) -> None:
    index.stall()
    slow = InBackground(create, server, "slow", "demo")
    assert index.has_stalled.wait(60)

    assert eventually(lambda: server.sql("db", BUILDING))
    assert create(server, "plain").status == 200
    assert server.write("db", "t n=1i 1").status == 204
    assert triggers(server) == ["plain"]
    index.go_on()

    assert slow.answer().status == 200
    assert tells(server, "slow") == "2.0"
    assert server.sql("db", BUILDING) == []


def test_killed_installer_is_told_and_leaves_nothing(server: Server, index: Index) -> None:
    index.stall()
    slow = InBackground(create, server, "slow", "demo")
    assert index.has_stalled.wait(60)

    for child in psutil.Process(server.pid).children(recursive=True):
        if child.name() == "uv":
            child.kill()

    answer = slow.answer()
    assert answer.status >= 400, answer.text
    assert triggers(server) == []
    assert half_made(server) == []
    index.go_on()
    assert create(server, "slow", "demo").status == 200
    assert tells(server, "slow") == "2.0"


def test_server_killed_while_it_builds_starts_clean(server: Server, index: Index) -> None:
    assert create(server, "kept", "demo==1.0").status == 200
    index.stall()
    slow = InBackground(create, server, "slow", "demo==2.0")
    assert index.has_stalled.wait(60)
    installers = [
        child
        for child in psutil.Process(server.pid).children(recursive=True)
        if child.name() == "uv"
    ]
    assert installers

    server.kill()

    slow.answer()
    psutil.wait_procs(installers, timeout=10)
    assert not any(installer.is_running() for installer in installers)
    index.go_on()
    server.start()
    assert triggers(server) == ["kept"]
    assert half_made(server) == []
    assert tells(server, "kept") == "1.0"
    assert create(server, "slow", "demo==2.0").status == 200
    assert tells(server, "slow") == "2.0"


def test_server_that_stops_does_not_wait_for_a_build(server: Server, index: Index) -> None:
    index.stall()
    slow = InBackground(create, server, "slow", "demo")
    assert index.has_stalled.wait(60)

    assert server.stop() == 0

    slow.answer()
    index.go_on()
    server.start()
    assert triggers(server) == []
    assert half_made(server) == []


def test_update_that_cannot_be_had_leaves_the_old_packages_in_service(
    server: Server, index: Index
) -> None:
    assert create(server, "kept", "demo==1.0").status == 200
    index.add(("demo-3.0-py3-none-any.whl", b"this is no archive"))

    answer = update(server, "kept", "demo==3.0")

    assert answer.status >= 400, answer.text
    assert "demo" in answer.text
    assert tells(server, "kept") == "1.0"
    assert half_made(server) == []
    assert update(server, "kept", "demo==2.0").json()["environment"]["changed"] == {
        "demo": ["1.0", "2.0"]
    }
    assert tells(server, "kept") == "2.0"


@pytest.mark.parametrize(
    "content",
    [
        b"this is no archive",
        wheel("broken", "1.0", {"broken.py": "import this_module_is_nowhere\n"})[1],
        wheel("broken", "1.0", {"broken.py": "1 / 0\n"})[1],
        wheel("broken", "1.0", {"broken.py": "import os; os._exit(3)\n"})[1],
    ],
    ids=["no archive", "import fails", "raises", "ends the process"],
)
def test_broken_wheel_is_refused_before_the_trigger_exists(tmp_path: Path, content: bytes) -> None:
    wheels = wheel_folder(tmp_path / "wheels", ("broken-1.0-py3-none-any.whl", content))
    with serving(tmp_path / "server", "--wheel-dir", str(wheels)) as server:
        server.create_database("db")
        server.plugin("tells.py", TELLS)

        answer = create(server, "no", "broken")

        assert answer.status >= 400, answer.text
        assert "broken" in answer.text
        assert triggers(server) == []
        assert half_made(server) == []


def test_packages_come_from_a_folder_where_there_is_no_index(tmp_path: Path) -> None:
    wheels = wheel_folder(
        tmp_path / "wheels", wheel("demo", "1.0", requires=["base>=1"]), wheel("base", "1.5")
    )
    with serving(tmp_path / "server", "--wheel-dir", str(wheels)) as server:
        server.create_database("db")
        server.plugin("tells.py", TELLS)

        assert create(server, "air", "demo").status == 200
        answer = create(server, "no", "requests")

        assert tells(server, "air", "base") == "1.5"
        assert 400 <= answer.status < 500
        assert "requests" in answer.text


def test_known_lock_is_built_without_the_index_and_an_unknown_one_fails_soon(
    server: Server, index: Index
) -> None:
    assert create(server, "first", "demo==1.0").status == 200
    server.stop()
    index.close()
    [environment] = (path for path in server.data.glob("*/environments/*") if path.is_dir())
    environment.rename(environment.parent.parent / "moved-away")
    server.start()

    path = "/api/v3/engine/first"
    eventually(lambda: server.request("GET", path, module="demo").status == 200, within_s=60)
    answer = create(server, "second", "demo==2.0")

    assert answer.status >= 400
    assert "127.0.0.1" in answer.text
    assert triggers(server) == ["first"]


@pytest.mark.parametrize(
    ("place", "version"), [("catalog.object_written", "1.0"), ("catalog.object_linked", "2.0")]
)
def test_server_killed_at_a_switch_has_made_it_or_has_not(
    server: Server, place: str, version: str
) -> None:
    assert create(server, "kept", "demo==1.0").status == 200
    server.stop()
    server.program = "tests.faults.launcher"
    server.environment = {**server.environment, "BULKHEAD_FAULT": f"{place}=kill"}
    server.start()

    change = InBackground(update, server, "kept", "demo==2.0")
    eventually(lambda: server.status is not None)
    change.answer()
    server.program = "engine"
    server.start()

    path = "/api/v3/engine/kept"
    eventually(lambda: server.request("GET", path, module="demo").status == 200)
    assert tells(server, "kept") == version
    assert half_made(server) == []
    assert update(server, "kept", "demo==2.0").status == 200
    assert tells(server, "kept") == "2.0"
