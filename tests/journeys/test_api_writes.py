"""What the writing calls of `influxdb3_local` do, through a real server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.probing import Probe
from tests.requesting import ENGINE, add
from tests.serving import Server, serving

LINE = "LineBuilder('{}').int64_field('v', {}).time_ns({})"
WRITES = ("write", "write_sync")
WRITE_ONE = f"influxdb3_local.write({LINE.format('beside', 1, 1)})"
REFUSED = "error writing line protocol to db: Cannot write: line protocol parse failed: "


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("writes")) as running:
        running.create_database("db")
        yield running


@pytest.fixture(scope="module")
def probe(server: Server) -> Probe:
    return Probe.add(server)


def line(table: str, value: int = 1, time_ns: int = 1) -> str:
    return LINE.format(table, value, time_ns)


def values(server: Server, table: str, database: str = "db") -> list[dict[str, Any]]:
    return server.sql(database, f'SELECT v FROM "{table}" ORDER BY time')  # noqa: S608  ours


# --- buffered writes


def test_every_write_returns_none(probe: Probe) -> None:
    for call in (
        f"write({line('none')})",
        f"write_to_db('none', {line('none')})",
        f"write_sync({line('none')}, True)",
        f"write_sync_to_db('none', {line('none')}, True)",
    ):
        assert probe.value(f"influxdb3_local.{call}") is None


def test_all_arguments_of_writes_may_be_named(server: Server, probe: Probe) -> None:
    probe.run(
        f"""
        influxdb3_local.write(line_builder={line("named", 1, 1)})
        influxdb3_local.write_to_db(db_name="db", line_builder={line("named", 2, 2)})
        influxdb3_local.write_sync(line_builder={line("named", 3, 3)}, no_sync=True)
        influxdb3_local.write_sync_to_db(
            db_name="db", line_builder={line("named", 4, 4)}, no_sync=False
        )
        """
    )

    assert [row["v"] for row in values(server, "named")] == [1, 2, 3, 4]


@pytest.mark.parametrize("call", WRITES)
def test_anything_that_builds_many_lines_is_written(
    server: Server, probe: Probe, call: str
) -> None:
    probe.run(
        f"""
        class Batch:
            def build(self):
                return "\\n".join(f"many_{call} v={{n}}i {{n}}" for n in range(1000))
        influxdb3_local.{call}(Batch())
        """
    )

    assert server.count("db", f"many_{call}") == 1000


@pytest.mark.parametrize("call", WRITES)
@pytest.mark.parametrize(
    ("builder", "name", "text"),
    [
        ("'m v=1'", "AttributeError", "'str' object has no attribute 'build'"),
        ("type('B', (), {'build': lambda s: 5})()", "TypeError", "build() must return str"),
        ("type('B', (), {'build': lambda s: b'm v=1'})()", "TypeError", "build() must return str"),
        ("LineBuilder('m')", "InvalidLineError", "At least one field is required: m"),
        ("type('B', (), {'build': lambda s: 1 / 0})()", "ZeroDivisionError", "division by zero"),
    ],
)
def test_what_does_not_build_raises_at_the_call(
    probe: Probe, call: str, builder: str, name: str, text: str
) -> None:
    raised, said = probe.raised(f"influxdb3_local.{call}({builder})")

    assert (raised, said[: len(text)]) == (name, text)


def test_a_database_is_made_for_what_is_written_to_it(server: Server, probe: Probe) -> None:
    probe.run(
        f"""
        influxdb3_local.write_sync_to_db("made_now", {line("t")}, no_sync=False)
        influxdb3_local.write_to_db("made_later", {line("t")})
        """
    )

    assert values(server, "t", "made_now") == values(server, "t", "made_later") == [{"v": 1}]


@pytest.mark.parametrize(
    "call",
    [
        f"write_to_db('_internal', {line('m')})",
        f"write_sync_to_db('_internal', {line('m')}, no_sync=True)",
    ],
)
def test_the_internal_database_is_refused(probe: Probe, call: str) -> None:
    raised = probe.raised(f"influxdb3_local.{call}")

    assert raised == ("Exception", "plugins cannot write to the database _internal")


def test_lines_without_a_time_get_that_of_the_write_and_times_are_nanoseconds(
    server: Server, probe: Probe
) -> None:
    probe.run(
        """
        influxdb3_local.write_sync(LineBuilder("timed").int64_field("v", 1))
        influxdb3_local.write(LineBuilder("timed").int64_field("v", 2))
        influxdb3_local.write(LineBuilder("timed").int64_field("v", 3).time_ns(1600000000))
        """
    )

    sql = "SELECT v FROM timed WHERE time > now() - interval '1 minute' ORDER BY v"
    assert server.sql("db", sql) == [{"v": 1}, {"v": 2}]
    assert server.sql("db", "SELECT time FROM timed WHERE v = 3") == [
        {"time": "1970-01-01T00:00:01.600"}
    ]


def test_lines_of_one_point_are_merged_in_the_order_of_the_calls(
    server: Server, probe: Probe
) -> None:
    """A synchronous write comes before all buffered ones, whatever the order of the calls."""
    probe.run(
        f"""
        influxdb3_local.write({line("order", 1)})
        influxdb3_local.write({line("order", 2)})
        influxdb3_local.write_sync({line("order", 3)}, no_sync=False)
        """
    )

    assert values(server, "order") == [{"v": 2}]


def test_nothing_of_a_failed_run_is_written_but_what_was_synchronous(server: Server) -> None:
    add(
        server,
        "failing",
        """
        def process_request(influxdb3_local, *rest):
            influxdb3_local.write(LineBuilder("failed").int64_field("v", 1).time_ns(1))
            influxdb3_local.write_to_db("failed", LineBuilder("failed").int64_field("v", 1))
            influxdb3_local.write_sync(LineBuilder("failed").int64_field("v", 2).time_ns(2), True)
            influxdb3_local.cache.put("kept", 1)
            influxdb3_local.info("kept", influxdb3_local.cache.get("runs", 0))
            influxdb3_local.cache.put("runs", influxdb3_local.cache.get("runs", 0) + 1)
            raise ValueError
        """,
    )

    for _ in range(2):
        answer = server.request("GET", ENGINE + "failing")
        assert (answer.status, answer.json()) == (
            500,
            {"error": "Python function call failed: ValueError: "},
        )

    assert values(server, "failed") == [{"v": 2}]
    assert server.count("failed", "failed") == 0
    said = [text for text in server.logs("db", "failing") if text.startswith("kept")]
    assert said == ["kept 0", "kept 1"]


def test_a_bad_buffered_line_fails_the_run_and_names_the_database(server: Server) -> None:
    add(
        server,
        "badline",
        """
        class Bad:
            def build(self):
                return "bad v=1\\nbad v="
        def process_request(influxdb3_local, *rest):
            influxdb3_local.write_to_db("elsewhere", Bad())
            return "unseen"
        """,
    )

    answer = server.request("GET", ENGINE + "badline")

    start = "error writing back lines to elsewhere: Cannot write: line protocol parse failed: "
    assert answer.status == 500
    assert answer.json()["error"].startswith(start)
    [logged] = server.logs("db", "badline", "ERROR")
    assert logged.startswith(f"error running request plugin: {start}")
    assert server.count("elsewhere", "bad") == 0


EMPTY = """
class Empty:
    def build(self):
        return "\\n# no line at all\\n"
"""


def test_a_builder_of_no_lines_writes_nothing(server: Server, probe: Probe) -> None:
    """Only a synchronous write of nothing is refused; a buffered one leaves the others alone."""
    probe.run(f"{EMPTY}\ninfluxdb3_local.write(Empty())")
    probe.run(f"{EMPTY}\ninfluxdb3_local.write_to_db('e', Empty())\n{WRITE_ONE}")

    assert server.count("db", "beside") == 1
    assert probe.raised(f"{EMPTY}\ninfluxdb3_local.write_sync(Empty())") == (
        "Exception",
        "error writing line protocol to db: Cannot write: incoming write was empty",
    )


# --- synchronous writes


def test_a_synchronous_write_can_be_queried_at_once(probe: Probe) -> None:
    rows = probe.run(
        f"""
        influxdb3_local.write_sync({line("at_once")}, no_sync=False)
        result = influxdb3_local.query("SELECT v FROM at_once")
        """  # noqa: S608  ours
    )

    assert rows == [{"v": 1}]


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (
            "write_sync(LineBuilder('n').bool_field('b', 1).float64_field('v', float('nan')))",
            f"{REFUSED}Could not parse entire line. Found trailing content: `v=nan`",
        ),
        (
            f"write_sync({line('kinds')}.tag('v', 'x'), no_sync=False)",
            (
                f"{REFUSED}invalid column type for column 'v', expected "
                "iox::column_type::field::integer, got iox::column_type::tag"
            ),
        ),
        (
            f"write_sync_to_db('', {line('m')}, no_sync=True)",
            (
                "error writing line protocol to : invalid database name: database name  length "
                "must be between 1 and 511 characters"
            ),
        ),
    ],
)
def test_a_refused_synchronous_write_raises_a_plain_exception(
    probe: Probe, code: str, text: str
) -> None:
    probe.run(f"influxdb3_local.write_sync({line('kinds')})")

    assert probe.raised(f"influxdb3_local.{code}") == ("Exception", text)


def test_one_bad_line_refuses_the_whole_synchronous_write(server: Server, probe: Probe) -> None:
    name, text = probe.raised(
        """
        class Half:
            def build(self):
                return "half v=1 1\\nhalf v= 2"
        influxdb3_local.write_sync(Half(), no_sync=False)
        """
    )

    assert name == "Exception"
    assert text.startswith(REFUSED)
    assert server.count("db", "half") == 0
