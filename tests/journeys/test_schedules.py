"""Schedules over restarts and overruns: which of the missed ticks are run."""

from __future__ import annotations

import re
import threading
from collections import Counter
from itertools import pairwise
from pathlib import Path

from tests.serving import Server, eventually, serving

NOTE = """\
import time

def process_scheduled_call(influxdb3_local, call_time, args=None):
    tick_s = round(call_time.timestamp())
    line = LineBuilder(args["table"]).int64_field("tick_s", tick_s).time_ns(time.time_ns())
    influxdb3_local.write(line)
    time.sleep(float(args["sleep_s"]))
"""
SLEEP = """\
import time

def process_request(influxdb3_local, query, headers, body, args=None):
    time.sleep(0.6)
    return "done"
"""
POLICIES = ("skip", "one", "all")


def create(server: Server, name: str, spec: str, settings: dict, arguments: dict) -> None:
    document = {
        "db": "db",
        "trigger_name": name,
        "trigger_specification": spec,
        "plugin_filename": "plugin.py",
        "trigger_settings": settings,
        "trigger_arguments": arguments,
    }
    answer = server.post_json("/api/v3/configure/processing_engine_trigger", document)
    assert answer.status == 200, answer.text


def create_schedules(server: Server, spec: str, sleep_s: float) -> None:
    """Create a trigger for each policy, which has its name and its own table."""
    server.create_database("db")
    server.plugin("plugin.py", NOTE)
    for policy in POLICIES:
        arguments = {"table": f"ticks_{policy}", "sleep_s": str(sleep_s)}
        create(server, policy, spec, {"catch_up": policy}, arguments)


def ran(server: Server, policy: str, count: int) -> bool:
    return server.count("db", f"ticks_{policy}") >= count


def ticks(server: Server, policy: str) -> list[int]:
    """Return the seconds of the ticks that were run, in the order of their runs."""
    found = server.sql("db", f"SELECT tick_s FROM ticks_{policy} ORDER BY time")  # noqa: S608  ours
    return [row["tick_s"] for row in found]


def left_out(server: Server, policy: str) -> int:
    """Return how many seconds lie between the ticks that were run, each of which was one."""
    return sum(after - before - 1 for before, after in pairwise(ticks(server, policy)))


def dropped(server: Server, policy: str) -> int:
    """Return how many ticks the log of a trigger says were dropped."""
    text = r"(\d+) ticks? (?:was|were) missed and will not be run \(catch_up is (\w+)\)"
    found = [re.fullmatch(text, line) for line in server.logs("db", policy, "WARN")]
    assert all(line is not None and line[2] == policy for line in found)
    return sum(int(line[1]) for line in found if line is not None)


def test_a_restart_runs_the_missed_ticks_that_the_policy_says(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        create_schedules(server, "every:1s", 0.0)
        for policy in POLICIES:
            eventually(lambda policy=policy: ran(server, policy, 1))
        server.kill()
        threading.Event().wait(2.5)
        server.start()
        before = {policy: server.count("db", f"ticks_{policy}") for policy in POLICIES}
        for policy in POLICIES:
            count = before[policy] + (4 if policy == "all" else 1)
            eventually(lambda policy=policy, count=count: ran(server, policy, count))
        for policy in POLICIES:
            # Both go on while they are read.
            eventually(lambda policy=policy: left_out(server, policy) == dropped(server, policy))
        lost = {policy: dropped(server, policy) for policy in POLICIES}

    assert lost["all"] == 0
    assert lost["skip"] >= 2
    assert lost["one"] >= 2


def test_runs_that_take_longer_than_the_period_follow_the_policy(server: Server) -> None:
    create_schedules(server, "every:200ms", 0.45)

    for policy, count in (("skip", 3), ("one", 3), ("all", 11)):
        eventually(lambda policy=policy, count=count: ran(server, policy, count))
    per_second = Counter(ticks(server, "all"))

    assert dropped(server, "all") == 0
    complete = [n for second, n in per_second.items() if min(per_second) < second < max(per_second)]
    assert set(complete) == {5}
    for policy in ("skip", "one"):
        assert dropped(server, policy) >= 2, policy


def test_limits_and_kinds_are_those_of_the_trigger_or_the_server(tmp_path: Path) -> None:
    options = ("--default-limit", "time=300ms", "--restrict-plugin-triggers-to", "request")
    with serving(tmp_path, *options) as server:
        server.create_database("db")
        server.plugin("plugin.py", SLEEP)
        create(server, "strict", "request:strict", {}, {})
        create(server, "generous", "request:generous", {"limits": {"time": "20s"}}, {})

        refused = server.trigger("db", "t", "every:1s", "plugin.py")
        shown = server.sql(
            "db",
            "SELECT trigger_name, time_limit_s FROM system.processing_engine_triggers "
            "WHERE state IN ('building', 'starting', 'ready') ORDER BY trigger_name",
        )
        [node] = server.sql("_internal", "SELECT node_id, mode, state FROM system.nodes")

        assert server.request("GET", "/api/v3/engine/strict").status == 504
        assert server.request("GET", "/api/v3/engine/generous").text == "done"

    assert (refused.status, refused.text) == (
        400,
        "invalid request: server is configured to reject Schedule plugin triggers",
    )
    assert [row["trigger_name"] for row in shown] == ["generous", "strict"]
    assert shown[0]["time_limit_s"] == 20.0
    assert node == {"node_id": "node0", "mode": ["core"], "state": "running"}
