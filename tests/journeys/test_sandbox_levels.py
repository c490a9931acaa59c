"""What a real server says and does where a part of the sandbox is missing."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.escape.arena import as_user
from tests.lacking import lacking
from tests.serving import Answer, Server

NO_BWRAP = ("--bwrap", "/nonexistent/bwrap")
IS_ROOT = os.geteuid() == 0
ORDINARY_UID = 12345
needs_root = pytest.mark.skipif(not IS_ROOT, reason="only root can hide control groups")
each_user = pytest.mark.parametrize(
    "uid", [0, ORDINARY_UID] if IS_ROOT else [None], ids=["root", "user"] if IS_ROOT else ["user"]
)
pytestmark = [pytest.mark.slow, pytest.mark.timeout(60)]

PLUGIN = """\
import json, os

def tried(call):
    try:
        call()
    except OSError:
        return False
    return True

def process_request(influxdb3_local, query, headers, body, args=None):
    status = dict(line.split(":", 1) for line in open("/proc/self/status"))
    folder = os.environ["PLUGIN_DIR"]
    return json.dumps({
        "uid": os.getuid(),
        "seccomp": int(status["Seccomp"]),
        "capabilities": int(status["CapEff"], 16),
        "reads a secret": tried(lambda: open(query["secret"])),
        "reads beside": open(f"{folder}/beside.toml").read(),
        "writes its own": tried(lambda: open(f"{folder}/kept", "w")),
        "writes its code": tried(lambda: open(f"{folder}/look.py", "a")),
        "sees the server": tried(lambda: os.listdir("/proc/" + query["server"])),
        "starts a program": tried(lambda: os.fork() or os._exit(0)),
    })
"""
CONFINED = {
    "capabilities": 0,
    "seccomp": 2,
    "reads a secret": False,
    "reads beside": "answer = 42\n",
    "writes its own": True,
    "writes its code": False,
    "sees the server": False,
    "starts a program": False,
}
WATCHED = {"has bounded memory", "has a bounded share of the CPU"}  # without control groups


@contextmanager
def a_server(
    *options: str, uid: int | None = None, hidden: tuple[str, ...] = ()
) -> Iterator[Server]:
    """Run a server that lacks something, in folders and with a Python that all users can reach."""
    with tempfile.TemporaryDirectory(prefix="levels-", dir="/tmp") as place:
        folder = Path(place)
        folder.chmod(0o755)
        server = Server(folder, *options)
        server.environment = {"HOME": place}
        server.prefix = [*([] if uid is None else as_user(uid)), *lacking(*hidden)]
        (folder / "secret").write_text("secret")
        server.plugin("look.py", PLUGIN)
        server.plugin("beside.toml", "answer = 42\n")
        if uid is not None:
            for path in (folder, *folder.rglob("*")):
                os.chown(path, uid, uid)
        try:
            server.start()
            server.create_database("db")
            assert server.trigger("db", "t", "request:look", "look.py").status == 200
            yield server
        finally:
            server.close()


def asked(server: Server) -> Answer:
    secret = server.data.parent / "secret"
    return server.request("GET", "/api/v3/engine/look", secret=secret, server=server.pid)


def seen(server: Server) -> dict[str, Any]:
    answer = asked(server)
    assert answer.status == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def report(server: Server) -> dict[str, dict[str, Any]]:
    """Return the rows of the report by their promise."""
    rows = server.sql("db", "SELECT * FROM system.processing_engine_sandbox")
    return {row["promise"]: row for row in rows}


def check_level(server: Server, level: str) -> set[str]:
    """Check what is said and what holds; return the promises that are not kept."""
    rows = report(server)
    assert {row["level"] for row in rows.values()} == {level}, rows
    assert f"sandbox: level {level}" in "".join(server.output)
    found = seen(server)
    assert {name: found[name] for name in CONFINED} == CONFINED
    assert found["uid"] != 0
    broken = {name: row for name, row in rows.items() if not row["enforced"]}
    assert all(row["why_not"] and not row["enforced_by"] for row in broken.values()), broken
    assert all(row["enforced_by"] for name, row in rows.items() if name not in broken)
    return set(broken)


@needs_root
def test_with_all_of_it_the_level_is_a() -> None:
    with a_server("--sandbox", "required") as server:
        assert check_level(server, "A") == set()


@needs_root
def test_without_control_groups_the_level_is_a_minus() -> None:
    with a_server("--sandbox", "required", hidden=("cgroups",)) as server:
        assert check_level(server, "A-") == WATCHED


def test_an_ordinary_user_without_delegated_groups_has_level_a_minus() -> None:
    with a_server("--sandbox", "required", uid=ORDINARY_UID if IS_ROOT else None) as server:
        assert "cgroup" in "".join(row["why_not"] for row in report(server).values())
        assert check_level(server, "A-") >= WATCHED


@each_user
def test_without_bubblewrap_the_level_is_b(uid: int | None) -> None:
    with a_server("--sandbox", "required", *NO_BWRAP, uid=uid) as server:
        broken = check_level(server, "B")
        assert "has a bounded tmp, in bytes and in files" in broken
        rows = report(server)
        assert not any("bubblewrap" in row["enforced_by"] for row in rows.values())


@each_user
def test_without_landlock_the_level_is_b(uid: int | None) -> None:
    with a_server("--sandbox", "required", uid=uid, hidden=("landlock",)) as server:
        assert check_level(server, "B") <= {*WATCHED, "has no rights of the server's user"}
        rows = report(server)
        assert not any("Landlock" in row["enforced_by"] for row in rows.values())


@each_user
def test_below_level_b_no_plugin_runs_but_the_server_does(uid: int | None) -> None:
    with a_server("--sandbox", "required", *NO_BWRAP, uid=uid, hidden=("landlock",)) as server:
        refused = asked(server)
        assert refused.status >= 500
        for part in ("no", "apt install bubblewrap", "Landlock", "--sandbox best-effort"):
            assert part in refused.text
        assert server.workers() == []
        assert server.write("db", "cpu n=1i 1").status == 204
        assert server.sql("db", "SELECT n FROM cpu") == [{"n": 1}]
        assert "level C (too little: no plugin is run" in "".join(server.output)
        assert not report(server)["reads only files it was granted"]["enforced"]


@each_user
def test_best_effort_puts_on_what_there_is(uid: int | None) -> None:
    with a_server("--sandbox", "best-effort", *NO_BWRAP, uid=uid, hidden=("landlock",)) as server:
        rows, found = report(server), seen(server)
        assert {row["level"] for row in rows.values()} == {"C"}
        assert (found["seccomp"], found["capabilities"], found["starts a program"]) == (2, 0, False)
        assert found["uid"] != 0
        assert rows["starts no program"]["enforced"]
        assert not rows["reads only files it was granted"]["enforced"]


@needs_root
def test_best_effort_claims_nothing_when_nothing_can_be_put_on() -> None:
    with a_server("--sandbox", "best-effort", *NO_BWRAP, hidden=("landlock",)) as server:
        if (found := seen(server))["seccomp"] == 0 or found["uid"] == 0:
            kept = {name for name, row in report(server).items() if row["enforced"]}
            assert kept == {"has bounded time for a run"}


@needs_root
def test_off_confines_nothing_and_says_so() -> None:
    with a_server("--sandbox", "off") as server:
        found, rows = seen(server), report(server)
        assert (found["uid"], found["reads a secret"]) == (0, True)
        kept = {name for name, row in rows.items() if row["enforced"]}
        assert kept == {"has bounded time for a run"}
        assert "plugins are not confined" in "".join(server.output)


PLANTER = """\
import json, os

def process_request(influxdb3_local, query, headers, body, args=None):
    folder = os.path.join(os.environ["PLUGIN_DIR"], "alerts")
    link = os.path.join(folder, "leak.txt")
    if not os.path.lexists(link):
        os.symlink("../other.py", link)
    try:
        found = open(link).read()
    except OSError:
        found = ""
    return json.dumps({"found": found, "in": os.path.realpath(folder)})
"""


@pytest.mark.parametrize("options", [(), NO_BWRAP], ids=["namespaces", "landlock"])
def test_a_granted_folder_is_seen_whole_and_links_in_it_open_nothing(
    options: tuple[str, ...],
) -> None:
    uid = 0 if IS_ROOT else None
    with a_server("--sandbox", "required", *options, uid=uid) as server:
        server.plugin("other.py", "SECRET = 1")
        server.plugin("plant.py", PLANTER)
        granted = server.plugins / "alerts"
        granted.mkdir()
        granted.chmod(0o777)
        for name in ("first", "second"):  # the second finds the link as it is started
            body = {
                "db": "db",
                "trigger_name": name,
                "trigger_specification": f"request:{name}",
                "plugin_filename": "plant.py",
                "trigger_settings": {"grants": [f"write={granted}"]},
                "disabled": False,
            }
            path = "/api/v3/configure/processing_engine_trigger"
            assert server.post_json(path, body).status == 200
            answer = server.request("GET", f"/api/v3/engine/{name}")
            assert answer.status == 200, answer.text
            assert answer.json() == {"found": "", "in": str(granted)}
        assert (granted / "leak.txt").is_symlink()
