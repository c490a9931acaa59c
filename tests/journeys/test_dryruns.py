"""Dry runs of plugins: what they show, and that they leave nothing behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.serving import Server, common_folder, eventually, serving

TIME_LIMIT_S = 3
MISSING = (
    "the process_writes function is not present in the plugin. Should be defined as: "
    "process_writes(influxdb3_local, table_batches, args=None)"
)

WRITES = """
def process_writes(influxdb3_local, table_batches, args=None):
    for batch in table_batches:
        for row in batch["rows"]:
            influxdb3_local.info("row", row)
    line = LineBuilder("some_table").tag("tag1", "tag1_value")
    line.int64_field("field1", 1).float64_field("field2", 2.0)
    influxdb3_local.write(line)
    other = LineBuilder("other_table").int64_field("rows", 1)
    influxdb3_local.write_to_db("other", other)
    influxdb3_local.write_sync(LineBuilder("first").bool_field("now", True), no_sync=True)
    influxdb3_local.write_sync_to_db("other", LineBuilder("first").bool_field("now", True))
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    limit = ("--default-limit", f"time={TIME_LIMIT_S}s")
    with serving(tmp_path_factory.mktemp("server"), *limit) as running:
        running.create_database("mydb")
        yield running


def dry_run(server: Server, kind: str, code: str, **fields: object) -> dict[str, Any]:
    server.plugin("tested.py", textwrap.dedent(code))
    document = {"filename": "tested.py", "database": "mydb", **fields}
    answer = server.post_json(f"/api/v3/plugin_test/{kind}", document)
    assert answer.status == 200, answer.text
    report: dict[str, Any] = answer.json()
    return report


def wal_run(server: Server, code: str, **fields: object) -> dict[str, Any]:
    return dry_run(server, "wal", code, **{"input_lp": "cpu v=1 1", **fields})


def influxdb3(server: Server, *words: str) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name("influxdb3")
    environment = {**os.environ, "INFLUXDB3_HOST_URL": server.url}
    return subprocess.run(
        [program, *words], capture_output=True, text=True, env=environment, check=False
    )


def test_a_wal_plugin_from_the_command_line(server: Server) -> None:
    server.plugin("writes.py", WRITES)

    ended = influxdb3(
        server,
        *("test", "wal_plugin", "--database", "mydb"),
        *("--lp", "cpu,host=a v=1.5 500\ncpu v=2 501", "writes.py"),
    )

    report = json.loads(ended.stdout)
    assert ended.returncode == 0
    assert report["database_writes"] == {
        "mydb": ["first now=t", "some_table,tag1=tag1_value field1=1i,field2=2.0"],
        "other": ["first now=t", "other_table rows=1i"],
    }
    assert report["errors"] == []
    assert report["log_lines"][:3] == [
        "INFO: starting execution of wal plugin.",
        "INFO: row {'host': 'a', 'v': 1.5, 'time': 500}",
        "INFO: row {'v': 2.0, 'time': 501}",
    ]
    assert report["log_lines"][3].startswith("INFO: finished execution in ")


def test_a_schedule_plugin_from_the_command_line(server: Server) -> None:
    server.plugin(
        "tick.py",
        "def process_scheduled_call(influxdb3_local, call_time, args=None):\n"
        "    influxdb3_local.warn(call_time.isoformat(), args)\n",
    )

    ended = influxdb3(
        server,
        *("test", "schedule_plugin", "--database", "mydb", "--schedule", "0 30 4 1 1 *"),
        *("--input-arguments", "a=1", "tick.py"),
    )

    report = json.loads(ended.stdout)
    moment = report["trigger_time"].removesuffix("Z")
    assert moment.endswith("-01-01T04:30:00")
    assert report["log_lines"][:2] == [
        f"INFO: starting execution with scheduled time {moment.replace('T', ' ')} UTC",
        f"WARN: {moment} {{'a': '1'}}",
    ]


def test_a_request_plugin_from_the_command_line(server: Server) -> None:
    server.plugin(
        "echo.py",
        "def process_request(influxdb3_local, query, headers, body, args=None):\n"
        "    return (body + b'!' , 201, {'X-Mine': headers['x-mine'] + query['q']})\n",
    )

    ended = influxdb3(
        server,
        *("test", "request_plugin", "--database", "mydb", "--query", "q=1"),
        *("--header", "X-Mine: a", "--body", "hello", "echo.py"),
    )

    report = json.loads(ended.stdout)
    assert (report["status"], report["body"]) == (201, "hello!")
    assert report["headers"]["X-Mine"] == "a1"
    assert report["errors"] == []


def test_an_answer_that_comes_in_parts_is_shown_whole(server: Server) -> None:
    report = dry_run(
        server,
        "request",
        """
        def process_request(influxdb3_local, query, headers, body, args=None):
            def parts():
                for number in range(200):
                    yield f"part {number}\\n" * 1000
                influxdb3_local.write(LineBuilder("t").int64_field("parts", 200))
            return parts()
        """,
    )

    assert report["status"] == 200
    assert report["body"].endswith("part 199\n")
    assert report["body"].count("\n") == 200_000
    assert report["database_writes"] == {"mydb": ["t parts=200i"]}


def test_nothing_is_stored_and_the_catalog_stays_as_it_is(server: Server) -> None:
    server.write("mydb", "kept v=1 1")
    before = [folder_of(server), server.request("GET", "/api/v3/configure/database", format="json")]
    tables = server.sql("mydb", "SHOW TABLES")

    report = wal_run(server, WRITES, input_lp="kept v=2 2\nnew_table v=1 1")

    assert report["errors"] == []
    after = [folder_of(server), server.request("GET", "/api/v3/configure/database", format="json")]
    assert server.count("mydb", "kept") == 1
    assert server.sql("mydb", "SHOW TABLES") == tables
    assert before[0] == after[0]
    assert before[1].json() == after[1].json()
    assert server.logs("mydb", "test of tested.py") == []


def folder_of(server: Server) -> dict[str, int]:
    """Return the sizes of all files of the catalog."""
    files = [path for path in (server.data / "node0").rglob("*") if path.is_file()]
    return {str(path): path.stat().st_size for path in files if "wal" not in path.parts}


def test_queries_are_real(server: Server) -> None:
    server.write("mydb", "seen v=4 1\nseen v=5 2")

    report = wal_run(
        server,
        """
        def process_writes(influxdb3_local, table_batches, args=None):
            rows = influxdb3_local.query("SELECT v FROM seen WHERE v > $least", {"least": 4.5})
            influxdb3_local.info(rows)
        """,
    )

    assert report["log_lines"][1] == "INFO: [{'v': 5.0}]"


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (
            "def process_writes(a, b, c):\n  x = 1\n    y = 2\n",
            "IndentationError: unexpected indent (<string>, line 3)",
        ),
        (
            "def process_writes(a, b, c):\n    a.write(LineBuilder('some_table'))\n",
            "InvalidLineError: At least one field is required: some_table",
        ),
        (
            "def process_writes(a, b):\n    pass\n",
            "TypeError: process_writes() takes 2 positional arguments but 3 were given",
        ),
        ("x = 1\n", MISSING),
    ],
)
def test_what_the_plugin_raises_is_an_error(server: Server, code: str, error: str) -> None:
    report = wal_run(server, code)

    assert report["errors"] == [f"error executing plugin: {error}"]
    assert report["database_writes"] == {}


def test_what_was_logged_before_a_failure_is_kept(server: Server) -> None:
    report = wal_run(
        server,
        """
        def process_writes(influxdb3_local, table_batches, args=None):
            influxdb3_local.info("so far")
            influxdb3_local.write(LineBuilder("t").int64_field("a", 1))
            influxdb3_local.write_sync(LineBuilder("s").int64_field("a", 1))
            raise ValueError("no further")
        """,
    )

    assert report["errors"] == ["error executing plugin: ValueError: no further"]
    assert report["log_lines"][1] == "INFO: so far"
    assert report["log_lines"][2].startswith("ERROR: Traceback (most recent call last):\n")
    assert "line 6, in process_writes" in report["log_lines"][2]
    assert report["database_writes"] == {"mydb": ["s a=1i"]}


def test_lines_that_the_server_would_refuse_are_errors(server: Server) -> None:
    server.write("mydb", "typed v=1i 1")

    report = wal_run(
        server,
        """
        def process_writes(influxdb3_local, table_batches, args=None):
            influxdb3_local.write(LineBuilder("typed").float64_field("v", 1.5))
            influxdb3_local.write_sync_to_db("no db", LineBuilder("t").int64_field("a", 1))
        """,
    )

    name, line = report["errors"]
    assert name == (
        "database name no db is invalid: database name 'no db' contains invalid character, "
        "character number 2 is not allowed"
    )
    assert line == (
        "line protocol parse error on write to db mydb: WriteLineError { original_line: "
        '"typed v=1.5", line_number: 1, error_message: "invalid column type for column \'v\', '
        'expected iox::column_type::field::integer, got iox::column_type::field::float" }'
    )


@pytest.mark.parametrize(
    ("kind", "fields", "error"),
    [
        ("wal", {"input_lp": "a v=1\nbad"}, "line protocol parse failed: line 2: "),
        ("wal", {"input_lp": "# nothing"}, "incoming write was empty"),
        ("schedule", {"database": "nowhere"}, "couldn't find db"),
        ("schedule", {"schedule": "x"}, "invalid cron syntax: "),
        ("schedule", {"schedule": "0 0 0 30 2 *"}, "cron schedule never triggers: 0 0 0 30 2 *"),
        ("request", {"database": "nowhere"}, "couldn't find db"),
    ],
)
def test_a_run_that_cannot_begin_is_an_error(
    server: Server, kind: str, fields: dict[str, object], error: str
) -> None:
    report = dry_run(server, kind, WRITES, **fields)

    assert len(report["errors"]) == 1
    assert report["errors"][0].startswith(error)
    assert report["log_lines"] == []


def test_a_wal_test_needs_no_database(server: Server) -> None:
    report = wal_run(server, WRITES, database="nowhere")

    assert report["errors"] == []
    assert list(report["database_writes"]) == ["nowhere", "other"]


def test_a_plugin_that_is_not_there_is_a_failure(server: Server) -> None:
    ended = influxdb3(server, "test", "wal_plugin", "-d", "mydb", "--lp", "a v=1", "nowhere.py")

    assert ended.returncode == 1
    assert ended.stderr.startswith(
        "Test command failed: server responded with error [500 Internal Server Error]: "
        "Plugin error: reading plugin file: Plugin not found: "
    )


COUNTS = """
def process_writes(influxdb3_local, table_batches, args=None):
    cache = influxdb3_local.cache
    for scope in (False, True):
        count = cache.get("count", 0, use_global=scope) + 1
        cache.put("count", count, use_global=scope)
        influxdb3_local.info(count)
"""


def counts_of(lines: list[str]) -> list[str]:
    return [line.removeprefix("INFO: ") for line in lines if line[-1:].isdigit()]


def counts(server: Server, cache_name: str | None) -> list[str]:
    lines: list[str] = wal_run(server, COUNTS, cache_name=cache_name)["log_lines"]
    return counts_of(lines)


def test_caches_are_kept_between_runs_by_name(server: Server) -> None:
    seen = [counts(server, name) for name in ("a", "a", "b", None, None, "_shared_test", "a")]

    assert seen == [["1"] * 2, ["2"] * 2, *[["1"] * 2] * 2, ["2"] * 2, ["3"] * 2, ["3"] * 2]


def test_caches_of_triggers_are_neither_seen_nor_touched(server: Server) -> None:
    server.plugin("counts.py", COUNTS)
    assert server.trigger("mydb", "counting", "table:counted", "counts.py").status == 200

    server.write("mydb", "counted v=1")
    eventually(lambda: len(counts_of(server.logs("mydb", "counting"))) == 2)
    tested = [counts(server, "apart"), counts(server, "apart")]
    server.write("mydb", "counted v=1")
    eventually(lambda: len(counts_of(server.logs("mydb", "counting"))) == 4)

    assert tested == [["1", "1"], ["2", "2"]]
    assert counts_of(server.logs("mydb", "counting")) == ["1", "1", "2", "2"]


def test_a_value_that_cannot_be_kept_is_named(server: Server) -> None:
    code = """
    import threading
    def process_writes(influxdb3_local, table_batches, args=None):
        influxdb3_local.info(influxdb3_local.cache.get("lock"))
        influxdb3_local.cache.put("lock", threading.Lock())
    """

    first, second = (wal_run(server, code, cache_name="live") for _ in range(2))

    assert "WARN: cache keys that cannot be kept for the next test: lock" in first["log_lines"]
    assert second["log_lines"][1] == "INFO: None"


def test_a_run_that_kills_its_process_is_an_error(server: Server) -> None:
    report = wal_run(
        server,
        """
        import os, sys
        def process_writes(influxdb3_local, table_batches, args=None):
            influxdb3_local.info("last words")
            print("on standard error", file=sys.stderr)
            os._exit(7)
        """,
    )

    assert report["errors"] == [
        "error executing plugin: worker exited with status 7\non standard error"
    ]
    assert report["log_lines"][1] == "INFO: last words"


def test_a_run_that_takes_too_long_is_killed(server: Server) -> None:
    before = {worker.pid for worker in server.workers()}

    report = wal_run(
        server,
        """
        def process_writes(influxdb3_local, table_batches, args=None):
            influxdb3_local.info("for ever")
            while True:
                pass
        """,
    )

    assert report["errors"] == [
        f"error executing plugin: run passed its time limit of {TIME_LIMIT_S} s and was stopped"
    ]
    assert report["log_lines"][1] == "INFO: for ever"
    assert {worker.pid for worker in server.workers()} == before


WAITS = """
import tempfile, time
def process_writes(influxdb3_local, table_batches, args=None):
    tempfile.mkstemp(prefix="running-", dir=args["common"])
    while True:
        time.sleep(0.05)
        influxdb3_local.info("still here")
"""


def test_two_plugins_are_tested_at_a_time(tmp_path: Path) -> None:
    common = common_folder(tmp_path)
    granted = ("--default-grant", f"write={common}")
    with serving(tmp_path, *granted) as server, ThreadPoolExecutor(2) as pool:
        server.plugin("waits.py", WAITS)
        document = {
            "filename": "waits.py",
            "database": "mydb",
            "input_lp": "cpu v=1",
            "input_arguments": {"common": str(common)},
        }
        path = "/api/v3/plugin_test/wal"
        running = [pool.submit(server.post_json, path, document) for _ in range(2)]
        eventually(lambda: len(list(common.glob("running-*"))) == 2)

        third = server.post_json(path, document)
        status = server.stop()

        assert (third.status, third.headers["retry-after"]) == (503, "1")
        assert status == 0
        assert all(future.exception() or future.result().status == 503 for future in running)


def test_a_folder_is_tested_as_a_package(server: Server) -> None:
    server.plugin("package/__init__.py", "from .inner import process_writes\n")
    server.plugin(
        "package/inner.py",
        "def process_writes(influxdb3_local, table_batches, args=None):\n"
        "    influxdb3_local.info(__name__)\n",
    )

    report = wal_run(server, "", filename="package")

    assert report["log_lines"][1] == "INFO: package.inner"


def test_a_changed_plugin_is_tested_as_it_is_now(server: Server) -> None:
    code = "def process_writes(a, b, c):\n    a.info({!r})\n"

    texts = [wal_run(server, code.format(text))["log_lines"][1] for text in ("one", "two")]

    assert texts == ["INFO: one", "INFO: two"]
