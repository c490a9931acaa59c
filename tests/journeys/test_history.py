"""The history of runs: a row for each, however it ended."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.serving import Server, common_folder, eventually, serving

# What becomes of a run depends on n: 1 fails, 2 ends the worker (once), 3 takes too long, 4 writes
# a bad line, anything else is copied.
MOODY = """\
import os, time

def process_writes(influxdb3_local, table_batches, args=None):
    for batch in table_batches:
        for row in batch["rows"]:
            n = row["n"]
            influxdb3_local.info(f"n is {n}")
            if n == 1:
                raise ValueError("no")
            if n == 2 and not os.path.exists(args["mark"]):
                open(args["mark"], "w").close()
                os._exit(1)
            if n == 3:
                time.sleep(60)
            if n == 4:
                influxdb3_local.write(LineBuilder("copy").string_field("n", "text"))
                continue
            if n == 5:
                end = time.process_time() + 0.3
                while time.process_time() < end:
                    pass
            influxdb3_local.write(LineBuilder("copy").int64_field("n", n).time_ns(row["time"]))
"""
TICK = """\
def process_scheduled_call(influxdb3_local, call_time, args=None):
    influxdb3_local.write(LineBuilder("ticks").int64_field("n", 1))
"""
SERVE = """\
def process_request(influxdb3_local, query_parameters, request_headers, request_body, args=None):
    if "fail" in query_parameters:
        raise RuntimeError("asked to")
    influxdb3_local.write(LineBuilder("asked").int64_field("n", 1))
    return {"ok": True}
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with serving(tmp_path / "server") as running:
        running.create_database("db")
        running.plugin("moody.py", MOODY)
        common = common_folder(tmp_path)
        arguments, grants = {"mark": str(common / "mark")}, [f"write={common}"]
        running.trigger("db", "moody", "table:t", "moody.py", arguments=arguments, grants=grants)
        running.write("db", "t n=0i 1", precision="ns")
        eventually(lambda: running.count("db", "copy") == 1)
        yield running


def runs(server: Server, trigger: str = "moody", database: str = "db") -> list[dict[str, Any]]:
    rows = server.sql(
        database,
        "SELECT * FROM system.processing_engine_runs "  # noqa: S608  ours
        f"WHERE trigger_name = '{trigger}' ORDER BY start_time",
    )
    return [{name: value for name, value in row.items() if value is not None} for row in rows]


def run_of(server: Server, lines: str, count: int = 1) -> list[dict[str, Any]]:
    """Write lines and return the runs that they lead to."""
    before = len(eventually(lambda: runs(server)))
    server.write("db", lines, precision="ns")
    eventually(lambda: len(runs(server)) >= before + count)
    return runs(server)[before:]


def test_run_that_succeeds_tells_what_it_took_and_gave(server: Server) -> None:
    [run] = run_of(server, "t n=5i 5\nt n=6i 6")

    assert (run["kind"], run["database"], run["outcome"]) == ("wal_rows", "db", "succeeded")
    assert (run["attempts"], run["rows_in"], run["rows_out"]) == (1, 2, 2)
    assert run["position_to"] > run["position_from"]
    assert "error_code" not in run
    assert "tick" not in run
    assert 0.3e9 <= run["duration_ns"] < 20e9
    assert 0.25 <= run["cpu_s"] < 20
    assert 5 * 2**20 < run["peak_memory_bytes"] < 2**31


@pytest.mark.parametrize(
    ("n", "outcome", "code"),
    [
        (1, "failed", "plugin_failed"),
        (4, "refused", "plugin_write_refused"),
    ],
)
def test_run_that_fails_tells_how(server: Server, n: int, outcome: str, code: str) -> None:
    [run] = run_of(server, f"t n={n}i 5")

    assert (run["outcome"], run["error_code"]) == (outcome, code)
    assert (run["rows_in"], run["rows_out"]) == (1, 0)


def test_run_that_takes_too_long_tells_so(server: Server) -> None:
    limited = {"db": "db", "trigger_name": "moody", "trigger_settings": {"limits": {"time": "1s"}}}
    path, json_type = "/api/v3/configure/processing_engine_trigger", "application/json"
    body = json.dumps(limited)
    assert server.request("PUT", path, body, {"Content-Type": json_type}).status == 200

    [run] = run_of(server, "t n=3i 5")

    assert (run["outcome"], run["error_code"]) == ("timedout", "run_timed_out")
    assert (run["rows_in"], run["rows_out"]) == (1, 0)


def test_run_whose_worker_dies_and_the_one_after_it_are_two_attempts(server: Server) -> None:
    crashed, done = run_of(server, "t n=2i 5", count=2)

    assert (crashed["outcome"], crashed["error_code"]) == ("crashed", "worker_died")
    assert (done["outcome"], done["rows_out"]) == ("succeeded", 1)
    assert (crashed["attempts"], done["attempts"]) == (1, 2)
    assert crashed["position_from"] == done["position_from"]
    assert crashed["run_id"] != done["run_id"]


def test_lines_of_the_log_carry_the_id_of_their_run(server: Server) -> None:
    [failed] = run_of(server, "t n=1i 5")

    lines = server.sql(
        "db",
        "SELECT log_text FROM system.processing_engine_logs "  # noqa: S608  ours
        f"WHERE run_id = '{failed['run_id']}' ORDER BY event_time",
    )
    texts = [line["log_text"] for line in lines]
    assert texts[:2] == ["starting execution of wal plugin.", "n is 1"]
    assert "ValueError: no" in texts[2]
    assert len(texts) == 3


def test_tick_and_request_are_runs_too(server: Server) -> None:
    server.plugin("tick.py", TICK)
    server.plugin("serve.py", SERVE)
    server.trigger("db", "tick", "every:1s", "tick.py")
    server.trigger("db", "serve", "request:serve", "serve.py")
    assert server.request("GET", "/api/v3/engine/serve").status == 200
    assert server.request("GET", "/api/v3/engine/serve", fail=1).status == 500

    good, bad = eventually(lambda: len(found := runs(server, "serve")) == 2 and found)
    tick = eventually(lambda: runs(server, "tick"))[0]

    assert (good["kind"], good["outcome"], good["rows_out"]) == ("request", "succeeded", 1)
    assert (bad["outcome"], bad["error_code"]) == ("failed", "plugin_failed")
    assert "position_from" not in good
    assert (tick["kind"], tick["outcome"], tick["rows_out"]) == ("schedule", "succeeded", 1)
    assert tick["tick"] % 10**9 == 0


def test_history_outlives_a_kill_and_each_database_sees_its_own(server: Server) -> None:
    server.create_database("other")
    [run] = run_of(server, "t n=7i 7")
    server.kill()
    server.start()

    assert run in runs(server)
    assert run in runs(server, database="_internal")
    assert runs(server, database="other") == []
