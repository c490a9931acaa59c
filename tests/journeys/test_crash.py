"""Plugins that die, hang or raise: what they cost the others, and what can be read about it."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import psutil
import pytest

from tests.serving import Server, common_folder, eventually, serving

COUNT = """\
def process_writes(influxdb3_local, table_batches, args=None):
    for batch in table_batches:
        for row in batch["rows"]:
            line = LineBuilder("seen").int64_field("n", int(row["n"])).time_ns(row["time"])
            influxdb3_local.write(line)
"""

# Dies once at row 3: a file tells the next worker that it has happened.
DIE_ONCE = """\
import ctypes, os, signal, sys

def process_writes(influxdb3_local, table_batches, args=None):
    for batch in table_batches:
        for row in batch["rows"]:
            if row["n"] == 3 and not os.path.exists(args["mark"]):
                open(args["mark"], "w").close()
                print("last words", file=sys.stderr, flush=True)
                if args["how"] == "segfault":
                    ctypes.string_at(0)
                elif args["how"] == "exit":
                    os._exit(7)
                else:
                    os.kill(os.getpid(), signal.SIGKILL)
            line = LineBuilder("seen").int64_field("n", int(row["n"])).time_ns(row["time"])
            influxdb3_local.write(line)
"""


# The first process of a sandbox tells by its status which signal ended the worker below it.
@pytest.mark.parametrize(
    ("how", "sandbox", "reason"),
    [
        ("segfault", "required", "exited with status 139, probably SIGSEGV"),
        ("segfault", "off", "killed by SIGSEGV"),
        ("exit", "required", "exited with status 7"),
        ("kill", "required", "exited with status 137, probably SIGKILL"),
        ("kill", "off", "killed by SIGKILL"),
    ],
)
def test_a_worker_that_dies_gets_its_event_again_in_order(
    tmp_path: Path, how: str, sandbox: str, reason: str
) -> None:
    with serving(tmp_path, "--sandbox", sandbox) as server:
        _check_that_an_event_outlives_a_death(server, tmp_path, how, reason)


def _check_that_an_event_outlives_a_death(
    server: Server, tmp_path: Path, how: str, reason: str
) -> None:
    server.create_database("db")
    server.plugin("die.py", DIE_ONCE)
    server.plugin("count.py", COUNT.replace('"seen"', '"seen_by_other"'))
    common = common_folder(tmp_path)
    arguments, grants = {"how": how, "mark": str(common / "mark")}, [f"write={common}"]
    server.trigger("db", "dying", "table:t", "die.py", arguments=arguments, grants=grants)
    server.trigger("db", "other", "table:t", "count.py")

    for n in range(8):
        assert server.write("db", f"t n={n}i {n + 1}", precision="ns").status == 204

    eventually(lambda: server.count("db", "seen") == 8)
    eventually(lambda: server.count("db", "seen_by_other") == 8)
    assert server.sql("db", "SELECT n FROM seen ORDER BY time") == [{"n": n} for n in range(8)]
    [error] = server.logs("db", "dying", "ERROR")
    assert reason in error
    assert "last words" in error
    assert server.logs("db", "other", "ERROR") == []


def test_an_event_that_kills_every_worker_is_given_up_and_stops_nobody(server: Server) -> None:
    server.create_database("db")
    server.plugin(
        "poison.py",
        "import os\n\n"
        "def process_writes(influxdb3_local, table_batches, args=None):\n"
        "    for batch in table_batches:\n"
        "        for row in batch['rows']:\n"
        "            if row['n'] == 1:\n"
        "                os._exit(1)\n"
        "            influxdb3_local.write(LineBuilder('ok').int64_field('n', row['n']))\n",
    )
    server.trigger("db", "poisoned", "table:t", "poison.py")

    server.write("db", "t n=1i")
    eventually(lambda: any("given up" in text for text in server.logs("db", "poisoned", "ERROR")))
    server.write("db", "t n=2i")

    eventually(lambda: server.count("db", "ok") == 1)
    errors = server.logs("db", "poisoned", "ERROR")
    assert sum("exited with status 1" in text for text in errors) == 3


RAISES = """\
def helper(row):
    return row["missing"]

def process_writes(influxdb3_local, table_batches, args=None):
    influxdb3_local.write(LineBuilder("never").int64_field("n", 1))
    for batch in table_batches:
        for row in batch["rows"]:
            if row["n"] == 1:
                helper(row)
"""


def test_an_exception_is_logged_with_its_traceback_and_writes_nothing(server: Server) -> None:
    server.create_database("db")
    server.plugin("raises.py", RAISES)
    server.trigger("db", "raising", "table:t", "raises.py")

    server.write("db", "t n=1i")

    [error] = eventually(lambda: server.logs("db", "raising", "ERROR"))
    assert error.startswith("error executing wal plugin: KeyError: 'missing'")
    assert 'return row["missing"]' in error
    assert server.count("db", "never") == 0
    server.write("db", "t n=2i")
    eventually(lambda: server.count("db", "never") == 1)


def test_disable_after_an_error_is_kept_over_a_restart(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        server.create_database("db")
        server.plugin("raises.py", RAISES)
        server.trigger("db", "once", "table:t", "raises.py", error_behavior="Disable")
        query = "SELECT disabled FROM system.processing_engine_triggers"
        server.write("db", "t n=1i")
        eventually(lambda: server.sql("db", query) == [{"disabled": True}])
        assert server.workers() == []
        server.stop()

        server.start()

        assert server.sql("db", query) == [{"disabled": True}]
        assert server.workers() == []


def test_retry_runs_the_same_event_again_until_it_succeeds(server: Server, tmp_path: Path) -> None:
    server.create_database("db")
    server.plugin(
        "flaky.py",
        "import os\n\n"
        "def process_writes(influxdb3_local, table_batches, args=None):\n"
        "    count = influxdb3_local.cache.get('tries', 0) + 1\n"
        "    influxdb3_local.cache.put('tries', count)\n"
        "    if count < 3:\n"
        "        raise RuntimeError(f'try {count}')\n"
        "    influxdb3_local.write(LineBuilder('ok').int64_field('tries', count))\n",
    )
    server.trigger("db", "flaky", "table:t", "flaky.py", error_behavior="retry")

    server.write("db", "t n=1i")

    eventually(lambda: server.count("db", "ok") == 1)
    assert server.sql("db", "SELECT tries FROM ok") == [{"tries": 3}]
    errors = server.logs("db", "flaky", "ERROR")
    assert [f"try {n}" in text for n, text in enumerate(errors, 1)] == [True, True]


def test_a_request_whose_worker_dies_is_answered_and_the_next_is_served(server: Server) -> None:
    server.create_database("db")
    server.plugin(
        "web.py",
        "import os\n\n"
        "def process_request(influxdb3_local, query, headers, body, args=None):\n"
        "    if 'die' in query:\n"
        "        os._exit(3)\n"
        "    return {'alive': True}\n",
    )
    server.trigger("db", "web", "request:web", "web.py")

    died = server.request("GET", "/api/v3/engine/web", die="1")
    alive = server.request("GET", "/api/v3/engine/web")

    assert died.status == 502
    assert "exited with status 3" in died.json()["error"]
    assert (alive.status, alive.json()) == (200, {"alive": True})


def test_a_line_that_is_not_accepted_makes_the_run_a_failed_run(server: Server) -> None:
    server.create_database("db")
    server.write("db", "out v=1i 1")
    server.plugin(
        "wrong.py",
        "def process_writes(influxdb3_local, table_batches, args=None):\n"
        "    influxdb3_local.write(LineBuilder('good').int64_field('v', 1))\n"
        "    influxdb3_local.write(LineBuilder('out').string_field('v', 'text'))\n",
    )
    server.trigger("db", "wrong", "table:t", "wrong.py")

    server.write("db", "t n=1i")

    [error] = eventually(lambda: server.logs("db", "wrong", "ERROR"))
    assert "invalid column type for column 'v'" in error
    assert server.count("db", "good") == 0


def test_two_plugins_that_feed_each_other_are_stopped_by_name(server: Server) -> None:
    server.create_database("db")
    for name, target in (("ping", "pong"), ("pong", "ping")):
        server.plugin(
            f"{name}.py",
            "def process_writes(influxdb3_local, table_batches, args=None):\n"
            f"    influxdb3_local.write(LineBuilder('{target}').int64_field('v', 1))\n",
        )
        server.trigger("db", name, f"table:{name}", f"{name}.py")

    server.write("db", "ping v=1i")

    def complaints() -> list[str]:
        return server.logs("db", "ping", "ERROR") + server.logs("db", "pong", "ERROR")

    [complaint] = eventually(complaints, within_s=30)
    assert "ping -> pong -> ping" in complaint


def test_ctrl_c_stops_everything_in_time_and_leaves_no_process(server: Server) -> None:
    server.create_database("db")
    server.plugin(
        "hangs.py",
        "import subprocess, time\n\n"
        "def process_writes(influxdb3_local, table_batches, args=None):\n"
        "    subprocess.Popen(['sleep', '300'])\n"
        "    influxdb3_local.info('hanging')\n"
        "    time.sleep(300)\n",
    )
    for n in range(3):
        server.trigger("db", f"hangs{n}", "table:t", "hangs.py", grants=["subprocess"])
    server.write("db", "t n=1i")
    for n in range(3):
        eventually(lambda n=n: "hanging" in server.logs("db", f"hangs{n}"))
    family = psutil.Process(server.pid).children(recursive=True)
    assert len([member for member in family if member.name() != "bwrap"]) == 6

    status = server.stop()

    assert status == 0
    _, alive = psutil.wait_procs(family, timeout=30)
    assert alive == []


def test_no_worker_outlives_a_server_that_is_killed(server: Server) -> None:
    server.create_database("db")
    server.plugin("count.py", COUNT)
    server.trigger("db", "count", "table:t", "count.py")
    workers = eventually(server.workers)

    os.kill(server.pid, signal.SIGKILL)

    _, left = psutil.wait_procs(workers, timeout=30)
    assert [worker for worker in left if worker.status() != psutil.STATUS_ZOMBIE] == []
