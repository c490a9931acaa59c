"""Plugins that want more than they may have, each in a real server: what stops them, and its words.

A neighbour with a trigger of its own goes on in every case.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.serving import Answer, Server, eventually, serving

MIB = 1 << 20
# What a request asks for, and what becomes of it where no limit is in the way.
GREEDY = """\
import mmap, os, subprocess, sys, threading, time

def memory(n):
    return len(bytearray(n * 1048576))

def shared(n):
    area = mmap.mmap(-1, n * 1048576)
    for at in range(0, len(area), 4096):
        area[at] = 1
    return len(area)

def shm(n):
    return fill("/dev/shm/block", n)

def tmp(n):
    return fill("/tmp/block", n)

def fill(path, n):
    with open(path, "wb") as file:
        for _ in range(n):
            file.write(bytes(1048576))
    return n

def disk(n):
    for number in range(n):
        fill(os.path.join(os.environ["PLUGIN_DIR"], f"block-{number}"), 1)
    time.sleep(20)

def cache(n):
    path = os.path.join(os.environ["PLUGIN_DIR"], "large")
    fill(path, n)
    total = 0
    for _ in range(3):
        with open(path, "rb") as file:
            while part := file.read(1048576):
                total += len(part)
    os.remove(path)
    return total // 1048576

def threads(n):
    done = threading.Event()
    started = []
    try:
        for _ in range(n):
            thread = threading.Thread(target=done.wait)
            thread.start()
            started.append(thread)
    except RuntimeError:
        pass
    finally:
        done.set()
    return len(started)

def child(n):
    code = f"x = bytearray({n} * 1048576)"
    status = subprocess.run([sys.executable, "-I", "-S", "-c", code]).returncode
    time.sleep(20)
    return status

def busy(n):
    before, end = time.process_time(), time.monotonic() + n
    while time.monotonic() < end:
        pass
    return time.process_time() - before

def process_request(influxdb3_local, query, headers, body, args=None):
    return str(globals()[query["what"]](int(query["n"])))

def process_writes(influxdb3_local, table_batches, args=None):
    for batch in table_batches:
        for row in batch["rows"]:
            if row["n"] < 0:
                memory(-row["n"])
            influxdb3_local.write(LineBuilder("copy").int64_field("n", row["n"]))
"""
CALM = """\
def process_request(influxdb3_local, query, headers, body, args=None):
    return "calm"
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("limits"), "--max-attempts", "2") as running:
        running.create_database("db")
        running.plugin("greedy.py", GREEDY)
        running.plugin("calm.py", CALM)
        assert running.trigger("db", "calm", "request:calm", "calm.py").status == 200
        running.request("GET", "/api/v3/engine/calm")
        yield running


@pytest.fixture(autouse=True)
def neighbour(server: Server) -> Iterator[None]:
    pids = {row["pid"] for row in workers(server) if row["trigger_name"] == "calm"}
    yield
    assert server.request("GET", "/api/v3/engine/calm").text == "calm"
    assert {row["pid"] for row in workers(server) if row["trigger_name"] == "calm"} == pids


def make(server: Server, name: str, spec: str, limits: dict[str, object], **more: object) -> None:
    document = {
        "db": "db",
        "trigger_name": name,
        "trigger_specification": spec,
        "plugin_filename": "greedy.py",
        "trigger_settings": {
            "run_async": False,
            "error_behavior": "log",
            "limits": limits,
            **more,
        },
        "trigger_arguments": None,
        "disabled": False,
    }
    answer = server.post_json("/api/v3/configure/processing_engine_trigger", document)
    assert answer.status == 200, answer.text


def ask(server: Server, name: str, what: str, n: int) -> Answer:
    return server.request("GET", f"/api/v3/engine/{name}", what=what, n=n)


def workers(server: Server) -> list[dict[str, Any]]:
    return server.sql("db", "SELECT * FROM system.processing_engine_workers")


def runs(server: Server, name: str) -> list[dict[str, Any]]:
    return server.sql(
        "db",
        "SELECT * FROM system.processing_engine_runs "  # noqa: S608  ours
        f"WHERE trigger_name = '{name}' ORDER BY start_time",
    )


def has(server: Server, layer: str) -> bool:
    """Whether the server holds workers by a control group."""
    return any(row["limited_by"] == layer for row in workers(server))


@pytest.mark.parametrize("what", ["memory", "shared"])
def test_a_request_that_takes_too_much_memory_is_told_the_limit_and_the_next_is_answered(
    server: Server, what: str
) -> None:
    make(server, f"ask_{what}", f"request:ask_{what}", {"memory": "64MiB"})

    answer = ask(server, f"ask_{what}", what, 400)

    assert answer.status == 502
    error = json.loads(answer.text)
    assert "killed: memory 64 MiB, peak " in error["error"]
    assert ask(server, f"ask_{what}", what, 1).text == str(MIB)
    [killed, done] = eventually(lambda: both(server, f"ask_{what}"))
    assert (killed["error_code"], done["outcome"]) == ("over_limit", "succeeded")
    assert killed["peak_memory_bytes"] >= 60 * MIB > done["peak_memory_bytes"]


def both(server: Server, name: str) -> list[dict[str, Any]]:
    found = runs(server, name)
    return found if len(found) == 2 else []


def test_a_block_larger_than_could_ever_be_had_is_an_error_of_the_plugin(server: Server) -> None:
    make(server, "large", "request:large", {"memory": "64MiB", "processes": 3})

    answer = ask(server, "large", "memory", 4000)

    assert (answer.status, "MemoryError" in answer.text) == (500, True)


def test_files_that_are_read_and_written_do_not_count_as_memory_that_kills(server: Server) -> None:
    make(server, "cache", "request:cache", {"memory": "64MiB", "disk": "1GiB"})

    assert ask(server, "cache", "cache", 200).text == "600"


@pytest.mark.parametrize("what", ["tmp", "shm"])
def test_what_is_kept_in_memory_as_files_is_bounded(server: Server, what: str) -> None:
    make(server, what, f"request:{what}", {"memory": "512MiB"})

    answer = ask(server, what, what, 100)

    assert (answer.status, "No space left on device" in answer.text) == (500, True)
    assert ask(server, what, what, 10).text == "10"


def test_a_worker_that_fills_its_private_folder_is_killed_and_started_once_it_is_cleared(
    server: Server,
) -> None:
    make(server, "disk", "request:disk", {"disk": "2MiB"})

    answer = ask(server, "disk", "disk", 8)

    assert answer.status == 502
    assert "killed: disk 2 MiB, the private folder holds 8 MiB" in answer.text
    [killed] = eventually(lambda: runs(server, "disk"))
    assert killed["error_code"] == "over_limit"
    refused = ask(server, "disk", "tmp", 1)
    assert (refused.status, "remove files from" in refused.text) == (502, True)
    for block in server.data.rglob("block-*"):
        block.unlink()
    eventually(lambda: ask(server, "disk", "tmp", 1).text == "1")


def test_one_file_is_no_larger_than_the_folder_may_be(server: Server) -> None:
    make(server, "file", "request:file", {"disk": "2MiB", "memory": "256MiB"})

    answer = ask(server, "file", "cache", 8)

    # With what the folder itself takes, such a file may already be too much for it.
    assert "File too large" in answer.text or "killed: disk 2 MiB" in answer.text
    [file] = server.data.rglob("private/*/large")
    assert file.stat().st_size == 2 * MIB


def test_threads_beyond_the_limit_are_not_started(server: Server) -> None:
    make(server, "threads", "request:threads", {"processes": 8})

    assert 1 <= int(ask(server, "threads", "threads", 40).text) <= 8


def test_a_child_that_takes_too_much_memory_ends_the_whole_worker(server: Server) -> None:
    settings: dict[str, object] = {"grants": ["subprocess"]}
    make(server, "child", "request:child", {"memory": "96MiB"}, **settings)

    answer = ask(server, "child", "child", 400)

    assert answer.status == 502
    assert "killed: memory 96 MiB, peak " in answer.text


def test_a_share_of_a_core_is_all_that_a_plugin_gets(server: Server) -> None:
    if not has(server, "cgroup"):
        pytest.skip("this machine gives the server no control groups")
    make(server, "busy", "request:busy", {"cpu": 0.2})
    ask(server, "busy", "busy", 0)

    assert 0 < float(ask(server, "busy", "busy", 2).text) < 0.8
    assert eventually(lambda: both(server, "busy"))[1]["cpu_s"] < 0.9


@pytest.mark.parametrize(
    ("behavior", "kills", "copied"), [("log", 1, [1, 2]), ("retry", 2, [1, 2]), ("disable", 1, [1])]
)
def test_rows_that_take_too_much_memory_are_an_error_that_the_behavior_decides_on(
    server: Server, behavior: str, kills: int, copied: list[int]
) -> None:
    name = f"rows_{behavior}"
    make(server, name, f"table:{name}", {"memory": "64MiB"}, error_behavior=behavior)
    server.write("db", f"{name} n=1i 1", precision="ns")
    eventually(lambda: len(runs(server, name)) == 1)
    server.write("db", f"{name} n=-400i 2", precision="ns")
    eventually(lambda: len(runs(server, name)) == 1 + kills)
    server.write("db", f"{name} n=2i 3", precision="ns")
    eventually(lambda: len(runs(server, name)) == kills + len(copied))

    outcomes = [run.get("error_code") for run in runs(server, name)]
    assert outcomes == [None, *["over_limit"] * kills, *[None] * (len(copied) - 1)]
    assert [run["outcome"] for run in runs(server, name)].count("succeeded") == len(copied)
    assert "killed: memory 64 MiB, peak " in "".join(server.logs("db", name, "ERROR"))
    state = server.sql(
        "db",
        "SELECT disabled FROM system.processing_engine_triggers "  # noqa: S608  ours
        f"WHERE trigger_name = '{name}'",
    )
    assert state == [{"disabled": behavior == "disable"}]
