"""Triggers whose grants and limits change while they run."""

from __future__ import annotations

import json
import threading

from tests.serving import Answer, Server, eventually

TRIGGERS = "/api/v3/configure/processing_engine_trigger"
# A row that is taken twice stands twice: each copy has a time of its own.
COPY = """\
import time

def process_writes(influxdb3_local, table_batches, args=None):
    for batch in table_batches:
        for row in batch["rows"]:
            line = LineBuilder("copy").time_ns(time.time_ns()).int64_field("n", row["n"])
            influxdb3_local.write(line)
"""
WAIT = """\
import time

def process_request(influxdb3_local, query, headers, body, args=None):
    time.sleep(float(query.get("s", "0")))
    with open("/proc/self/stat") as file:
        return file.read().rpartition(")")[2].split()[19]  # when this process was started
"""


def put(server: Server, body: dict[str, object]) -> Answer:
    headers = {"content-type": "application/json"}
    return server.request("PUT", TRIGGERS, json.dumps(body), headers)


def confine(server: Server, name: str, settings: dict[str, object]) -> None:
    body = {"db": "db", "trigger_name": name, "trigger_settings": settings}
    answer = put(server, body)
    assert answer.status == 200, answer.text


def test_no_row_is_lost_or_taken_twice_while_limits_change(server: Server) -> None:
    server.create_database("db")
    server.plugin("copy.py", COPY)
    assert server.trigger("db", "t", "table:cpu", "copy.py").status == 200

    for number in range(40):
        server.write("db", f"cpu n={number}i {number + 1}")
        if number % 8 == 0:
            confine(server, "t", {"limits": {"processes": 10 + number}})

    eventually(lambda: server.count("db", "copy") >= 40)
    copied = server.sql("db", "SELECT n FROM copy ORDER BY n")
    assert [row["n"] for row in copied] == list(range(40))
    assert server.logs("db", "t", "ERROR") == []
    sql = "SELECT limit_processes FROM system.processing_engine_triggers"
    assert server.sql("db", sql) == [{"limit_processes": 42}]


def test_a_run_ends_as_it_began_and_the_next_has_the_new_limit(server: Server) -> None:
    server.create_database("db")
    server.plugin("wait.py", WAIT)
    assert server.trigger("db", "t", "request:w", "wait.py").status == 200
    first = server.request("GET", "/api/v3/engine/w").text
    answers = []
    running = threading.Thread(
        target=lambda: answers.append(server.request("GET", "/api/v3/engine/w", s=1).text)
    )
    running.start()
    phases = "SELECT state FROM system.processing_engine_triggers"
    eventually(lambda: server.sql("db", phases) == [{"state": "running"}])

    confine(server, "t", {"limits": {"time": "200ms"}})
    running.join(20)

    assert answers == [first]
    assert server.request("GET", "/api/v3/engine/w").text != first
    assert server.request("GET", "/api/v3/engine/w", s=5).status == 504


def test_a_limit_above_the_ceiling_is_refused(server: Server) -> None:
    server.create_database("db")
    server.plugin("wait.py", WAIT)
    assert server.trigger("db", "t", "request:w", "wait.py").status == 200
    names = {"db": "db", "trigger_name": "t"}

    refused = put(server, {**names, "trigger_settings": {"grants": ["read=/proc"]}})

    assert (refused.status, "cannot be given" in refused.text) == (400, True)
    sql = "SELECT grants, limit_memory_bytes, limit_cpu FROM system.processing_engine_triggers"
    assert server.sql("db", sql)[0]["grants"] == "[]"
