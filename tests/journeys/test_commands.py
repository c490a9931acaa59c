"""The commands of the documents and of the reference, typed as a user types them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.serving import Server, eventually

SEEDS = Path(__file__).parent.parent / "samples" / "seeds"


@pytest.fixture
def seeded(server: Server) -> Server:
    shutil.copytree(SEEDS, server.plugins, dirs_exist_ok=True)
    return server


def influxdb3(
    server: Server, *words: str, stdin: str | None = None
) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name("influxdb3")
    environment = {**os.environ, "INFLUXDB3_HOST_URL": server.url}
    return subprocess.run(
        [program, *words], input=stdin, capture_output=True, text=True, env=environment, check=False
    )


def test_from_a_database_to_a_running_trigger_and_back(seeded: Server) -> None:
    created = influxdb3(seeded, "create", "database", "mydb")
    trigger = influxdb3(
        seeded,
        *("create", "trigger", "--trigger-spec", "table:cpu"),
        *("--plugin-filename", "threshold.py", "--trigger-arguments", "threshold=90"),
        *("--database", "mydb", "watch"),
    )
    written = influxdb3(seeded, "write", "--database", "mydb", "cpu,host=a v=1.5")
    eventually(lambda: "Threshold is 90" in seeded.logs("mydb", "watch"))
    queried = influxdb3(
        seeded, "query", "--database", "mydb", "--format", "json", "SELECT host, v FROM cpu"
    )
    refused = influxdb3(seeded, "delete", "trigger", "--database", "mydb", "watch")
    disabled = influxdb3(seeded, "disable", "trigger", "--database", "mydb", "watch")
    assert eventually(lambda: seeded.workers() == [])
    enabled = influxdb3(seeded, "enable", "trigger", "--database", "mydb", "watch")
    deleted = influxdb3(seeded, "delete", "trigger", "--database", "mydb", "--force", "watch")

    assert created.stdout == 'Database "mydb" created successfully\n'
    assert trigger.stdout == "Trigger watch created successfully\n"
    assert (written.returncode, written.stdout) == (0, "")
    assert json.loads(queried.stdout) == [{"host": "a", "v": 1.5}]
    assert refused.returncode == 1
    assert refused.stderr.startswith("Delete command failed: server responded with error [")
    assert disabled.stdout == "Trigger watch disabled successfully\n"
    assert enabled.stdout == "Trigger watch enabled successfully\n"
    assert deleted.stdout == "Trigger watch deleted successfully\n"
    assert "mydb" in influxdb3(seeded, "show", "databases").stdout


def test_the_schedule_and_request_commands_of_the_document(seeded: Server) -> None:
    influxdb3(seeded, "create", "database", "mydb")
    scheduled = influxdb3(
        seeded,
        *("create", "trigger", "--trigger-spec", "every:10s"),
        *("--plugin-filename", "schedule_plugin.py", "--database", "mydb", "system-metrics"),
    )
    requested = influxdb3(
        seeded,
        *("create", "trigger", "--trigger-spec", "request:hello-world"),
        *("--plugin-filename", "request_plugin.py", "--database", "mydb", "hello-world"),
    )
    again = influxdb3(
        seeded,
        *("create", "trigger", "--trigger-spec", "request:hello-world"),
        *("--plugin-filename", "request_plugin.py", "--database", "mydb", "hello-again"),
    )
    answer = seeded.request("POST", "/api/v3/engine/hello-world", "{}")

    assert scheduled.returncode == requested.returncode == 0
    assert again.returncode == 1
    assert "[409 Conflict]" in again.stderr
    assert answer.json()["status"] == "ok"


def test_the_word_help_and_a_wrong_word_say_how_to_go_on(seeded: Server) -> None:
    helped = influxdb3(seeded, "create", "trigger", "help")
    wrong = influxdb3(seeded, "create", "trigger", "--database", "d", "--trigger-spec", "x", "t")

    assert helped.returncode == 0
    assert "--trigger-spec" in helped.stdout
    assert wrong.returncode == 2
    assert wrong.stderr.startswith("error: ")


@pytest.mark.parametrize(
    ("path", "reason"),
    [("nope.py", "Plugin not found"), ("../x.py", "Path traversal detected")],
)
def test_a_plugin_that_cannot_be_found_is_refused_and_leaves_no_trigger(
    seeded: Server, path: str, reason: str
) -> None:
    influxdb3(seeded, "create", "database", "mydb")

    made = influxdb3(
        seeded,
        *("create", "trigger", "--trigger-spec", "all_tables", "--path", path),
        *("--database", "mydb", "t"),
    )

    assert made.returncode == 1
    assert reason in made.stderr
    assert seeded.sql("mydb", "SELECT * FROM system.processing_engine_triggers") == []
