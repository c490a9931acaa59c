"""What plugins are called with when rows arrive and when time comes, through a real server."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.requesting import Gate
from tests.serving import Server, eventually, serving

RECORD = """
def process_writes(local, batches, arguments):
    local.info("got", repr([batches, arguments]))
    batches[0]["rows"][0].clear()
    batches.append("mine")
    if arguments is not None:
        arguments["mine"] = "yes"
    return object()

def process_scheduled_call(local, moment, arguments):
    from datetime import datetime, timezone
    told = [type(moment) is datetime, moment.tzinfo, moment.microsecond, arguments]
    told.append(moment.replace(tzinfo=timezone.utc) == moment.astimezone(timezone.utc))
    local.info("got", repr([*told, moment.timestamp()]))
    return object()
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("events")) as running:
        running.plugin("record.py", RECORD)
        yield running


@pytest.fixture
def database(server: Server, request: pytest.FixtureRequest) -> str:
    """Make a database of the test's own, so that its triggers see nothing of other tests."""
    name = f"db{abs(hash(request.node.name))}"
    server.create_database(name)
    return name


def create(server: Server, database: str, spec: str, **options: Any) -> None:  # noqa: ANN401
    answer = server.trigger(database, f"t{database}", spec, "record.py", **options)
    assert answer.status == 200, answer.text


def write(server: Server, database: str, lines: str, precision: str = "nanosecond") -> None:
    answer = server.write(database, lines, precision=precision)
    assert answer.status == 204, answer.text


def got(server: Server, database: str, calls: int = 1) -> list[Any]:
    """Return what the trigger was called with, once there were this many calls."""

    def recorded() -> list[str]:
        lines = server.logs(database, f"t{database}", "INFO")
        return [line.removeprefix("got ") for line in lines if line.startswith("got ")]

    eventually(lambda: len(recorded()) >= calls)
    return [ast.literal_eval(text) for text in recorded()]


def test_a_batch_holds_a_table_and_its_rows(server: Server, database: str) -> None:
    create(server, database, "all_tables")

    write(server, database, r'cpu,zone=b,host=a\ b u=2u,i=-1i,f=1.5,b=true,s="x\"y" 500')

    row = {"zone": "b", "host": "a b", "u": 2, "i": -1, "f": 1.5, "b": True, "s": 'x"y'}
    [[batches, _]] = got(server, database)
    assert batches == [{"table_name": "cpu", "rows": [{**row, "time": 500}]}]
    [[seen]] = [batch["rows"] for batch in batches]
    kinds = {key: type(value) for key, value in seen.items()}
    assert kinds == {key: type(value) for key, value in row.items()} | {"time": int}
    assert list(seen) == [*row, "time"]


def test_a_row_lacks_what_its_line_did_not_have(server: Server, database: str) -> None:
    write(server, database, "cpu,old=x was=1 1")
    create(server, database, "table:cpu")

    write(server, database, "cpu,host=a f=1.5 500\ncpu i=1i 501")

    [[[batch], _]] = got(server, database)
    assert batch["rows"] == [{"host": "a", "f": 1.5, "time": 500}, {"i": 1, "time": 501}]


def test_rows_come_in_the_order_of_arrival_and_are_not_merged(
    server: Server, database: str
) -> None:
    create(server, database, "table:cpu")

    write(server, database, "cpu v=1i 7\ncpu v=2i 3\ncpu v=3i 7\ncpu v=4i 9000000000000")

    [[[batch], _]] = got(server, database)
    assert [(row["v"], row["time"]) for row in batch["rows"]] == [
        (1, 7),
        (2, 3),
        (3, 7),
        (4, 9_000_000_000_000),
    ]


def test_tables_come_in_the_order_of_their_first_row(server: Server, database: str) -> None:
    create(server, database, "all_tables")

    write(server, database, "z v=1i 1\na v=2i 1\nz v=3i 2")

    [[batches, _]] = got(server, database)
    assert [(b["table_name"], [row["v"] for row in b["rows"]]) for b in batches] == [
        ("z", [1, 3]),
        ("a", [2]),
    ]


def test_times_are_nanoseconds_whatever_the_precision(server: Server, database: str) -> None:
    create(server, database, "table:cpu")

    write(server, database, "cpu v=1i 5", "second")
    write(server, database, "cpu v=2i")

    rows = eventually(lambda: _rows(server, database, 2))
    assert rows[0]["time"] == 5_000_000_000
    assert rows[1]["time"] > 1_700_000_000_000_000_000


def test_a_trigger_of_a_table_is_called_for_that_table_alone(server: Server, database: str) -> None:
    """It may exist before its table does, and is not called when nothing is for it."""
    create(server, database, "table:mine")

    write(server, database, "other v=1i 1")
    write(server, database, "other v=1i 1\nmine v=2i 2")
    write(server, database, "other v=1i 1")
    write(server, database, "mine v=3i 3")

    assert [row["v"] for row in _rows(server, database, 2)] == [2, 3]
    for [batches, _] in got(server, database):
        assert [batch["table_name"] for batch in batches] == ["mine"]


def test_writes_of_other_databases_and_of_earlier_are_not_seen(
    server: Server, database: str
) -> None:
    server.create_database(f"{database}b")
    write(server, database, "cpu v=1i 1")
    create(server, database, "all_tables")

    write(server, f"{database}b", "cpu v=2i 1")
    write(server, database, "cpu v=3i 1")

    assert [row["v"] for row in _rows(server, database, 1)] == [3]


@pytest.mark.parametrize("arguments", [None, {}, {"a": "b", "": "é"}])
def test_arguments_and_rows_are_new_objects_in_every_call(
    server: Server, database: str, arguments: dict[str, str] | None
) -> None:
    create(server, database, "table:cpu", arguments=arguments)

    write(server, database, "cpu v=1i 1")
    first = got(server, database)
    write(server, database, "cpu v=2i 2")

    assert first == [[[{"table_name": "cpu", "rows": [{"v": 1, "time": 1}]}], arguments]]
    assert got(server, database, 2)[1] == [
        [{"table_name": "cpu", "rows": [{"v": 2, "time": 2}]}],
        arguments,
    ]


def test_two_triggers_do_not_share_their_rows(server: Server, database: str) -> None:
    create(server, database, "table:cpu")
    server.trigger(database, f"u{database}", "table:cpu", "record.py")

    write(server, database, "cpu v=1i 1")

    [[mine, _]] = got(server, database)
    lines = eventually(lambda: server.logs(database, f"u{database}", "INFO")[1:])
    assert ast.literal_eval(lines[0].removeprefix("got "))[0] == mine


def test_a_moment_is_a_naive_datetime_in_utc_in_whole_seconds(
    server: Server, database: str
) -> None:
    create(server, database, "every:500ms", arguments={"a": "b"})

    calls = got(server, database, 2)

    for is_datetime, zone, microsecond, arguments, is_utc, stamp in calls:
        assert (is_datetime, zone, microsecond, is_utc) == (True, None, 0, True)
        assert arguments == {"a": "b"}
        assert stamp == int(stamp)


def test_a_plugin_that_waits_holds_up_nobody_else(
    server: Server, database: str, tmp_path: Path
) -> None:
    gate = Gate.make(tmp_path)
    server.plugin(
        "waits.py",
        "def process_writes(influxdb3_local, batches, args):\n"
        "    influxdb3_local.info('waits')\n"
        "    open(args['gate']).read()\n"
        "    influxdb3_local.info('rows', sum(len(batch['rows']) for batch in batches))\n",
    )
    arguments = {"gate": str(gate.path)}
    server.trigger(
        database, "waits", "table:cpu", "waits.py", arguments=arguments, grants=[gate.grant]
    )
    create(server, database, "table:cpu")

    write(server, database, "cpu v=0i 1")
    eventually(lambda: "waits" in server.logs(database, "waits"))
    for value in range(1, 11):
        write(server, database, f"cpu v={value}i {value}")
        seen = eventually(lambda n=value: _rows(server, database, n + 1))
    assert [row["v"] for row in seen] == list(range(11))
    assert server.logs(database, "waits").count("waits") == 1

    gate.let_go()
    eventually(lambda: "rows 1" in server.logs(database, "waits"))
    eventually(lambda: server.logs(database, "waits").count("waits") == 2)
    gate.let_go()
    eventually(lambda: "rows 10" in server.logs(database, "waits"))


def test_runs_are_framed_by_lines_of_the_server(server: Server, database: str) -> None:
    create(server, database, "table:cpu")
    write(server, database, "cpu v=1i 1")

    lines = eventually(lambda: _three(server.logs(database, f"t{database}", "INFO")))

    assert lines[0] == "starting execution of wal plugin."
    assert lines[2].startswith("finished execution in ")


def test_a_scheduled_run_is_announced_with_its_time(server: Server, database: str) -> None:
    create(server, database, "cron:* * * * * *")

    lines = eventually(lambda: _three(server.logs(database, f"t{database}", "INFO")))

    start = "starting execution with scheduled time "
    assert lines[0].startswith(start)
    assert lines[0].endswith(":" + lines[0][-6:-4] + " UTC")
    assert len(lines[0]) == len(start) + len("2025-01-01 00:00:00 UTC")


def _three(lines: list[str]) -> list[str] | None:
    return lines if len(lines) >= 3 else None


def _rows(server: Server, database: str, count: int) -> list[dict[str, Any]]:
    def rows() -> list[dict[str, Any]]:
        calls = got(server, database, 1)
        return [row for batches, _ in calls for batch in batches for row in batch["rows"]]

    eventually(lambda: len(rows()) >= count)
    return rows()
