"""Events that are given up: kept, looked at, run again, dropped."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.serving import Server, eventually, serving

PATH = "/api/v3/configure/dead_letters"
FEW_ATTEMPTS = ("--max-attempts", "3")
LETTERS = "SELECT * FROM system.processing_engine_dead_letters ORDER BY event_time"

# Fails at every row whose n is negative, and counts the others: each write is a row of its own.
PICKY = """\
def check(row):
    if row["n"] < 0:
        raise ValueError(f"cannot do {row['n']}")

def process_writes(influxdb3_local, table_batches, args=None):
    for batch in table_batches:
        for row in batch["rows"] if batch["table_name"] != "seen" else ():
            check(row)
            line = LineBuilder("seen").tag("from", batch["table_name"])
            influxdb3_local.write(line.int64_field("n", int(row["n"])))
"""
REPAIRED = PICKY.replace('if row["n"] < 0', "if False")
POISON = """\
import os, sys

def process_writes(influxdb3_local, table_batches, args=None):
    for batch in table_batches:
        for row in batch["rows"] if batch["table_name"] != "seen" else ():
            if row["n"] < 0:
                print("last words", file=sys.stderr, flush=True)
                os._exit(9)
            influxdb3_local.write(LineBuilder("seen").int64_field("n", int(row["n"])))
"""
BAD_LINE = """\
class Line:
    def build(self):
        return "seen n="

def process_writes(influxdb3_local, table_batches, args=None):
    influxdb3_local.write(Line())
"""
NEVER = """\
def process_scheduled_call(influxdb3_local, call_time, args=None):
    raise RuntimeError("not today")
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with serving(tmp_path, *FEW_ATTEMPTS) as running:
        running.create_database("db")
        yield running


def letters(server: Server, database: str = "db") -> list[dict[str, Any]]:
    return server.sql(database, LETTERS)


def the_letter(server: Server, database: str = "db") -> dict[str, Any]:
    [letter] = eventually(lambda: letters(server, database))
    return letter


def shown(server: Server, letter: dict[str, Any]) -> dict[str, Any]:
    answer = server.request("GET", f"{PATH}/{letter['id']}", db=letter["database"])
    assert answer.status == 200, answer.text
    return answer.json()


def seen(server: Server) -> list[int]:
    if not server.count("db", "seen"):
        return []
    return [row["n"] for row in server.sql("db", "SELECT n FROM seen ORDER BY n")]


def retry(server: Server, letter: dict[str, Any]) -> int:
    return server.request("POST", f"{PATH}/{letter['id']}/retry", db=letter["database"]).status


def state(server: Server, letter: dict[str, Any]) -> str:
    return str(shown(server, letter)["state"])


def with_one_letter(server: Server, plugin: str = PICKY, behavior: str = "retry") -> dict[str, Any]:
    server.plugin("p.py", plugin)
    assert server.trigger("db", "t", "all_tables", "p.py", error_behavior=behavior).status == 200
    server.write("db", 'cpu,host=a n=-1i,note="x" 1700000000000000007\nmem n=5i 8', precision="ns")
    return the_letter(server)


def test_event_that_fails_at_every_attempt_is_kept_and_the_next_one_runs(server: Server) -> None:
    letter = with_one_letter(server)
    server.write("db", "cpu,host=a n=2i 9")

    eventually(lambda: seen(server) == [2])
    event = shown(server, letter)
    assert event["event"]["tables"] == [
        {
            "table_name": "cpu",
            "rows": [{"host": "a", "n": -1, "note": "x", "time": "2023-11-14T22:13:20.000000007Z"}],
        },
        {"table_name": "mem", "rows": [{"n": 5, "time": "1970-01-01T00:00:00.000000008Z"}]},
    ]
    assert (letter["trigger_name"], letter["kind"]) == ("t", "wal_rows")
    assert (letter["state"], letter["attempts"], letter["rows"]) == ("open", 3, 2)
    assert letter["position_to"] == letter["position_from"] + 1
    assert letter["error_code"] == "plugin_failed"
    assert letter["error"].startswith("ValueError: cannot do -1\n")
    assert "check(row)" in letter["error"]
    assert sum("cannot do -1" in text for text in server.logs("db", "t", "ERROR")) == 3
    assert f"event kept as dead letter {letter['id']}" in server.logs("db", "t", "WARN")
    assert len(letters(server)) == 1


def test_event_that_ends_three_workers_is_kept_with_their_last_words(server: Server) -> None:
    letter = with_one_letter(server, POISON, "log")

    assert (letter["attempts"], letter["error_code"]) == (3, "worker_died")
    assert "exited with status 9" in letter["error"]
    assert "last words" in letter["error"]
    server.write("db", "cpu n=2i")
    eventually(lambda: seen(server) == [2])


def test_event_whose_lines_are_refused_is_kept_with_the_reason(server: Server) -> None:
    letter = with_one_letter(server, BAD_LINE)

    assert (letter["error_code"], letter["attempts"]) == ("plugin_write_refused", 3)
    assert "error writing back lines to db" in letter["error"]


def test_tick_that_fails_at_every_attempt_is_kept_with_its_time(server: Server) -> None:
    server.plugin("never.py", NEVER)
    server.trigger("db", "t", "every:1s", "never.py", error_behavior="retry")

    letter = eventually(lambda: letters(server))[0]

    event = shown(server, letter)
    assert (letter["kind"], letter["attempts"], letter["rows"]) == ("schedule", 3, 0)
    assert letter["tick"] % 10**9 == 0
    assert event["event"] == {"scheduled_time": event["tick"]}
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.0{9}Z", event["tick"])

    server.plugin("never.py", NEVER.replace('raise RuntimeError("not today")', "pass"))
    assert retry(server, letter) == 200
    eventually(lambda: state(server, letter) == "retried")


@pytest.mark.parametrize("behavior", ["log", "disable"])
def test_other_policies_keep_nothing_of_a_run_that_raises(server: Server, behavior: str) -> None:
    server.plugin("p.py", PICKY)
    server.trigger("db", "t", "table:cpu", "p.py", error_behavior=behavior)

    server.write("db", "cpu n=-1i")

    eventually(lambda: server.logs("db", "t", "ERROR"))
    if behavior == "log":
        server.write("db", "cpu n=2i")
        eventually(lambda: server.count("db", "seen") == 1)
    else:
        triggers = "SELECT state FROM system.processing_engine_triggers"
        eventually(lambda: server.sql("db", triggers) == [{"state": "disabled"}])
    assert letters(server) == []


def test_letter_outlives_a_kill_and_its_rows_are_written_once(tmp_path: Path) -> None:
    with serving(tmp_path, *FEW_ATTEMPTS) as server:
        server.create_database("db")
        before = with_one_letter(server)
        server.kill()
        server.start()
        letter = the_letter(server)
        assert letter == before

        server.plugin("p.py", REPAIRED)
        assert retry(server, letter) == 200
        eventually(lambda: state(server, letter) == "retried")
        assert retry(server, letter) == 409
        server.kill()
        server.start()

        assert seen(server) == [-1, 5]
        assert state(server, letter) == "retried"


@pytest.mark.slow
def test_rows_of_retried_letters_are_there_once_whenever_the_server_is_killed(
    tmp_path: Path,
) -> None:
    with serving(tmp_path, "--max-attempts", "1") as server:
        server.create_database("db")
        with_one_letter(server)
        for n in (-2, -3, -4, -5, -6):
            server.write("db", f"cpu n={n}i")
            eventually(lambda n=n: len(letters(server)) == -n)
        server.plugin("p.py", REPAIRED)
        for delay_ms in (0, 5, 20, 60, 150, 400):
            for letter in letters(server):
                retry(server, letter)
            threading.Event().wait(delay_ms / 1000)
            server.kill()
            server.start()

        for letter in letters(server):
            retry(server, letter)
        eventually(lambda: {letter["state"] for letter in letters(server)} == {"retried"})

        assert seen(server) == [-6, -5, -4, -3, -2, -1, 5]


def test_retry_that_fails_leaves_the_letter_open_and_the_trigger_running(server: Server) -> None:
    letter = with_one_letter(server)
    server.plugin("p.py", PICKY.replace("cannot do", "still cannot do"))

    assert retry(server, letter) == 200

    eventually(lambda: shown(server, letter)["attempts"] == 4)
    again = shown(server, letter)
    assert again["state"] == "open"
    assert again["error"].startswith("ValueError: still cannot do -1\n")
    assert again["event"]["tables"][0]["table_name"] == "cpu"
    server.write("db", "cpu n=2i")
    eventually(lambda: server.count("db", "seen") == 1)
    server.plugin("p.py", REPAIRED)
    assert eventually(lambda: retry(server, letter) == 200)
    eventually(lambda: server.count("db", "seen") == 3)


def test_letter_cannot_be_retried_while_its_trigger_rests(server: Server) -> None:
    letter = with_one_letter(server, REPAIRED.replace("if False", "if args is None"))
    switch = "/api/v3/configure/processing_engine_trigger"
    names = {"db": "db", "trigger_name": "t"}
    assert server.request("POST", f"{switch}/disable", **names).status == 200

    refused = server.request("POST", f"{PATH}/{letter['id']}/retry", db="db")
    assert (refused.status, refused.text) == (
        409,
        "trigger t is not running; enable it first",
    )
    assert server.request("DELETE", switch, **names).status == 200
    assert retry(server, letter) == 404
    assert server.request("DELETE", f"{PATH}/{letter['id']}", db="db").status == 200
    assert state(server, letter) == "dropped"


def test_databases_see_their_own_letters_and_internal_sees_all(server: Server) -> None:
    server.create_database("other")
    mine = with_one_letter(server)
    server.trigger("other", "t", "table:cpu", "p.py", error_behavior="retry")
    server.write("other", "cpu n=-7i")
    others = the_letter(server, "other")

    assert (mine["database"], others["database"]) == ("db", "other")
    assert {letter["id"] for letter in letters(server, "_internal")} == {mine["id"], others["id"]}
    assert server.request("GET", f"{PATH}/{mine['id']}", db="other").status == 404
    assert server.request("GET", PATH, db="none").status == 404


def test_retried_event_keeps_the_chain_of_its_causes(server: Server) -> None:
    server.plugin("first.py", PICKY.replace('"seen"', '"middle"').replace("< 0", "> 10"))
    server.plugin("p.py", PICKY)
    server.trigger("db", "first", "table:cpu", "first.py")
    server.trigger("db", "second", "table:middle", "p.py", error_behavior="retry")
    server.write("db", "cpu n=-1i 1")
    letter = the_letter(server)
    # Rows that it writes would fire `first` again if the chain were lost; with it the limit holds.
    server.plugin("p.py", REPAIRED.replace('LineBuilder("seen")', 'LineBuilder("cpu")'))

    assert retry(server, letter) == 200

    loop = eventually(
        lambda: (
            [t for t in server.logs("db", "first", "ERROR") if "chain" in t]
            or [t for t in server.logs("db", "second", "ERROR") if "chain" in t]
        )
    )
    assert "first -> second" in loop[0]


def test_letters_are_handled_from_the_command_line(server: Server) -> None:
    with_one_letter(server)
    server.write("db", "cpu n=-2i")
    eventually(lambda: len(letters(server)) == 2)

    def run(*words: str) -> str:
        command = [sys.executable, "-m", "engine", "dead-letters", *words, "--host", server.url]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    ids = [letter["id"] for letter in letters(server)]
    assert all(id_ in run("list") for id_ in ids)
    run("drop", "-d", "db", ids[0])
    server.plugin("p.py", REPAIRED)
    run("retry", "-d", "db", "--trigger", "t")
    eventually(lambda: seen(server) == [-2])
    eventually(lambda: {one["state"] for one in letters(server)} == {"dropped", "retried"})
    assert ids[0] not in run("list", "-d", "db")
    assert ids[0] in run("list", "-d", "db", "--all")
    assert '"n": -2' in run("show", "-d", "db", ids[1])
