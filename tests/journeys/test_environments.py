"""The life of environments: changed, gone back from, edited, damaged, removed."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.serving import Answer, Server, eventually, serving

TRIGGERS = "/api/v3/configure/processing_engine_trigger"
ENVIRONMENT = "/api/v3/configure/plugin_environment"
TELLS = """\
from importlib.metadata import version

def process_request(influxdb3_local, query_parameters, request_headers, request_body, args=None):
    return {"iniconfig": version("iniconfig"), "mark": "MARK"}
"""


def script(version: str, mark: str = "") -> str:
    """Return a plugin that brings what it asks for."""
    block = f'# /// script\n# dependencies = ["iniconfig=={version}"]\n# ///\n'
    return block + TELLS.replace("MARK", mark)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache") / "packages"


@pytest.fixture
def server(tmp_path: Path, cache: Path) -> Iterator[Server]:
    running = Server(tmp_path, "--package-cache-dir", str(cache))
    try:
        running.start()
        running.create_database("db")
        yield running
    finally:
        running.close()


def create(server: Server, name: str, plugin: str, *requirements: str) -> Answer:
    document = {
        "db": "db",
        "trigger_name": name,
        "trigger_specification": f"request:{name}",
        "plugin_filename": plugin,
        "trigger_settings": {},
        "disabled": False,
        "requirements": list(requirements),
    }
    return server.post_json(TRIGGERS, document)


def update(server: Server, name: str, **change: object) -> Answer:
    body = json.dumps({"db": "db", "trigger_name": name, **change})
    return server.request("PUT", TRIGGERS, body, {"Content-Type": "application/json"})


def command(server: Server, verb: str, name: str) -> Answer:
    return server.post_json(f"{ENVIRONMENT}/{verb}", {"db": "db", "trigger_name": name})


def told(server: Server, name: str) -> str:
    answer = server.request("GET", f"/api/v3/engine/{name}")
    return f"{answer.json()['iniconfig']} {answer.json()['mark']}".strip()


def shown(server: Server, name: str) -> dict[str, Any]:
    answer = server.request("GET", ENVIRONMENT, db="db", trigger_name=name)
    assert answer.status == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def state(server: Server, name: str) -> str:
    query = f"SELECT state FROM system.processing_engine_triggers WHERE trigger_name = '{name}'"  # noqa: S608  ours
    [row] = server.sql("db", query)
    return str(row["state"])


def test_triggers_change_their_packages_and_go_back_each_for_itself(server: Server) -> None:
    server.plugin("tells.py", TELLS)
    for name, version in (("a", "2.0.0"), ("b", "1.1.1")):
        answer = create(server, name, "tells.py", f"iniconfig=={version}")
        assert answer.status == 200, answer.text
    assert [told(server, name) for name in "ab"] == ["2.0.0 MARK", "1.1.1 MARK"]
    first = shown(server, "a")["lock"]

    changed = update(server, "a", requirements=["iniconfig==2.1.0", "six"])
    assert changed.status == 200, changed.text
    eventually(lambda: told(server, "a") == "2.1.0 MARK")
    back = command(server, "rollback", "a")
    eventually(lambda: told(server, "a") == "2.0.0 MARK")

    change = changed.json()["environment"]
    assert change["previous"] == back.json()["lock"] == first
    assert change["changed"] == {"iniconfig": ["2.0.0", "2.1.0"]}
    assert list(change["added"]) == list(back.json()["removed"]) == ["six"]
    history = [switch["reason"] for switch in shown(server, "a")["history"]]
    assert history == ["created", "updated", "rolled_back"]
    assert told(server, "b") == "1.1.1 MARK"
    assert len(shown(server, "b")["history"]) == 1


def test_an_edited_plugin_gets_its_packages_or_stays_as_it_was(server: Server) -> None:
    server.plugin("own.py", script("2.0.0", "first"))
    assert create(server, "own", "own.py").status == 200
    assert told(server, "own") == "2.0.0 first"
    seen: set[str] = set()

    def is_now(text: str) -> bool:
        seen.add(told(server, "own"))
        return text in seen

    server.plugin("own.py", script("1.1.1", "second"))
    eventually(lambda: is_now("1.1.1 second"))
    server.plugin("own.py", script("99.0", "third"))
    eventually(lambda: told(server, "own") and server.logs("db", "own", "WARN"))

    assert seen == {"2.0.0 first", "1.1.1 second"}  # never one with the packages of the other
    assert told(server, "own") == "1.1.1 second"
    [warning] = server.logs("db", "own", "WARN")
    assert "iniconfig==99.0" in warning
    assert "the code of before goes on serving" in warning
    server.plugin("own.py", script("2.0.0", "fourth"))
    eventually(lambda: told(server, "own") == "2.0.0 fourth")


def test_a_damaged_environment_is_told_and_repaired(server: Server) -> None:
    server.plugin("tells.py", TELLS)
    for name, version in (("a", "2.0.0"), ("b", "1.1.1")):
        assert create(server, name, "tells.py", f"iniconfig=={version}").status == 200
    folder = Path(shown(server, "a")["path"])
    server.stop()
    [metadata] = folder.glob("lib/*/site-packages/iniconfig-*/METADATA")
    metadata.unlink()

    server.start()

    eventually(lambda: state(server, "a") == "broken")
    reason = shown(server, "a")["reason_broken"]
    assert str(folder) in reason
    [first, *_] = server.logs("db", "a", "ERROR")
    assert first.endswith("repair it with: bulkhead repair environment a --database db")
    assert told(server, "b") == "1.1.1 MARK"

    repaired = command(server, "repair", "a")

    assert repaired.status == 200, repaired.text
    assert repaired.json()["changed"] == {}
    assert eventually(lambda: _told_if_up(server, "a")) == "2.0.0 MARK"
    assert shown(server, "a")["state"] == "ready"


def test_an_environment_whose_python_has_gone_does_not_keep_a_server_from_starting(
    server: Server,
) -> None:
    server.plugin("tells.py", TELLS)
    assert create(server, "a", "tells.py", "iniconfig==2.0.0").status == 200
    folder = Path(shown(server, "a")["path"])
    server.stop()
    link = folder / "bin" / "python"
    link.unlink()
    link.symlink_to("/nowhere/python3")

    server.start()

    eventually(lambda: state(server, "a") == "broken")
    assert command(server, "repair", "a").status == 200
    assert eventually(lambda: _told_if_up(server, "a")) == "2.0.0 MARK"


def test_environments_that_were_removed_are_built_again(server: Server) -> None:
    server.plugin("tells.py", TELLS)
    server.plugin("plain.py", "def process_request(*_):\n    import six\n    return 'six'\n")
    assert create(server, "own", "tells.py", "iniconfig==2.0.0").status == 200
    installed = server.post_json(f"{ENVIRONMENT}/install_packages", {"packages": ["six"]})
    assert installed.status == 200, installed.text
    assert create(server, "shared", "plain.py").status == 200
    shelf = Path(shown(server, "own")["path"]).parent
    link = server.plugins / ".venv"
    led_to = link.readlink()
    server.kill()
    shutil.rmtree(shelf)
    link.unlink()

    server.start()

    assert eventually(lambda: _told_if_up(server, "own")) == "2.0.0 MARK"
    answer = eventually(lambda: _ok(server.request("GET", "/api/v3/engine/shared")))
    assert answer.text == "six"
    assert link.readlink() == led_to


def test_an_environment_of_the_users_own_is_changed_in_place(tmp_path: Path, cache: Path) -> None:
    folder = tmp_path / "plugins" / ".venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    with serving(tmp_path, "--package-cache-dir", str(cache)) as server:
        server.create_database("db")
        server.plugin("tells.py", TELLS)
        assert create(server, "shared", "tells.py").status == 200
        assert create(server, "own", "tells.py", "iniconfig==1.1.1").status == 200

        packages = {"packages": ["iniconfig==2.0.0"]}
        installed = server.post_json(f"{ENVIRONMENT}/install_packages", packages)

        assert installed.status == 200, installed.text
        assert (installed.json()["lock"], installed.json()["added"]) == (
            None,
            {"iniconfig": "2.0.0"},
        )
        assert [told(server, name) for name in ("shared", "own")] == ["2.0.0 MARK", "1.1.1 MARK"]
        rollback = server.post_json(f"{ENVIRONMENT}/rollback", {})
        assert rollback.status == 409, rollback.text
    assert folder.is_dir()
    assert not folder.is_symlink()


def _told_if_up(server: Server, name: str) -> str | None:
    is_up = _ok(server.request("GET", f"/api/v3/engine/{name}"))
    return told(server, name) if is_up else None


def _ok(answer: Answer) -> Answer | None:
    return answer if answer.status == 200 else None
