"""What `influxdb3_local.query` takes and gives, through a real server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.probing import Probe
from tests.serving import serving


@pytest.fixture(scope="module")
def probe(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Probe]:
    with serving(tmp_path_factory.mktemp("queries")) as server:
        server.create_database("db")
        server.write(
            "db", 'm,t=a i=1i,u=2u,f=1.5,b=true,s="x" 5\nm,t=b i=2i 6\nm i=3i 7', precision="ns"
        )
        server.create_database("other")
        server.write("other", "n v=1i 1")
        yield Probe.add(server)


_MADE = ("seen", "river.model")  # tables of other tests


def query(sql: str, *rest: str) -> str:
    return f"influxdb3_local.query({', '.join([repr(sql), *rest])})"


def test_a_row_holds_every_column_with_none_for_null(probe: Probe) -> None:
    rows = probe.value(query("SELECT * FROM m ORDER BY time"))

    full = {"b": True, "f": 1.5, "i": 1, "s": "x", "t": "a", "time": 5, "u": 2}
    empty = dict.fromkeys(full)
    assert rows == [full, empty | {"i": 2, "t": "b", "time": 6}, empty | {"i": 3, "time": 7}]
    assert [list(row) for row in rows] == [list(full)] * 3


def test_keys_stand_in_the_order_of_the_columns(probe: Probe) -> None:
    [row] = probe.value(query("SELECT u, 1 AS z, b, t FROM m WHERE t = 'a'"))

    assert list(row) == ["u", "z", "b", "t"]


def test_no_rows_are_an_empty_list(probe: Probe) -> None:
    assert probe.value(query("SELECT * FROM m WHERE i > 100")) == []


@pytest.mark.parametrize(
    ("expression", "kind", "value"),
    [
        ("i", "int", "1"),
        ("u", "int", "2"),
        ("f", "float", "1.5"),
        ("b", "bool", "True"),
        ("s", "str", "'x'"),
        ("t", "str", "'a'"),
        ("time", "int", "5"),
        ("arrow_cast(7, 'Int8')", "int", "7"),
        ("arrow_cast(7, 'Int16')", "int", "7"),
        ("arrow_cast(7, 'Int32')", "int", "7"),
        ("arrow_cast(7, 'UInt8')", "int", "7"),
        ("arrow_cast(7, 'UInt16')", "int", "7"),
        ("arrow_cast(7, 'UInt32')", "int", "7"),
        ("arrow_cast(0.5, 'Float32')", "float", "0.5"),
        ("arrow_cast(1.25, 'Decimal128(5, 2)')", "float", "1.25"),
        ("arrow_cast('é', 'Utf8View')", "str", "'é'"),
        ("arrow_cast('é', 'LargeUtf8')", "str", "'é'"),
        ("arrow_cast('ab', 'Binary')", "bytes", "b'ab'"),
        ("arrow_cast(1, 'Timestamp(Second, None)')", "int", "1000000000"),
        ("arrow_cast(1, 'Timestamp(Millisecond, None)')", "int", "1000000"),
        ("arrow_cast(1, 'Timestamp(Microsecond, None)')", "int", "1000"),
        ("""arrow_cast(1, 'Timestamp(Nanosecond, Some("+02:00"))')""", "int", "1"),
        ("arrow_cast(5, 'Duration(Second)')", "int", "5000000000"),
        ("DATE '2020-01-02'", "str", "'2020-01-02'"),
        ("arrow_cast(3, 'Time64(Nanosecond)')", "str", "'00:00:00.000000003'"),
        ("interval '1 month 2 days'", "list", "[1, 2, 0]"),
        ("[1, NULL]", "list", "[1, None]"),
        ("named_struct('a', 1)", "dict", "{'a': 1}"),
        ("date_part('hour', TIMESTAMP '2020-01-01T05:00:00')", "int", "5"),
        ("count(*)", "int", "1"),
        ("avg(i)", "float", "1.0"),
    ],
)
def test_every_type_is_a_plain_value(probe: Probe, expression: str, kind: str, value: str) -> None:
    [row] = probe.run(
        f"rows = {query(f'SELECT {expression} AS v FROM m WHERE i = 1')}\n"  # noqa: S608  ours
        "result = [[type(row['v']).__name__, repr(row['v'])] for row in rows]"
    )

    assert row == [kind, value]


@pytest.mark.parametrize(
    "kind",
    ["Int64", "Int32", "Float64", "Boolean", "Utf8", "Date32", "Binary", "List(Int64)", "Null"],
)
def test_null_of_any_type_is_none(probe: Probe, kind: str) -> None:
    assert probe.value(query(f"SELECT arrow_cast(NULL, '{kind}') AS v")) == [{"v": None}]


def test_of_columns_with_one_name_the_last_wins(probe: Probe) -> None:
    sql = "SELECT a.v, b.w, b.v FROM (SELECT 1 AS v) AS a CROSS JOIN (SELECT 2 AS v, 3 AS w) AS b"

    assert probe.value(query(sql)) == [{"v": 2, "w": 3}]


@pytest.mark.parametrize(
    ("value", "kind", "shown"),
    [
        ("'x'", "str", "'x'"),
        ("7", "int", "7"),
        ("-9223372036854775808", "int", "-9223372036854775808"),
        ("1.5", "float", "1.5"),
        ("True", "bool", "True"),
        ("None", "NoneType", "None"),
    ],
)
def test_a_parameter_keeps_its_type(probe: Probe, value: str, kind: str, shown: str) -> None:
    call = query("SELECT $p AS v", f"{{'p': {value}}}")

    seen = probe.run(f"[row] = {call}\nresult = [type(row['v']).__name__, repr(row['v'])]")

    assert seen == [kind, shown]


@pytest.mark.parametrize(
    ("condition", "parameters", "found"),
    [
        ("t = $t", {"t": "a"}, [1]),
        ("t IN ($a, $b)", {"a": "a", "b": "b"}, [1, 2]),
        ("i > $n", {"n": 1}, [2, 3]),
        ("i > $n", {"n": "1"}, [2, 3]),
        ("f > $n", {"n": 1}, [1]),
        ("b = $b", {"b": True}, [1]),
        ("time > $from", {"from": "1970-01-01T00:00:00.000000005Z"}, [2, 3]),
        ("time >= to_timestamp_nanos(arrow_cast($s, 'Int64'))", {"s": "6"}, [2, 3]),
        ("i = 1", {"unused": "x"}, [1]),
        ("i = 1", {}, [1]),
    ],
)
def test_parameters_stand_for_values(
    probe: Probe, condition: str, parameters: dict[str, object], found: list[int]
) -> None:
    sql = f"SELECT i FROM m WHERE {condition} ORDER BY i"  # noqa: S608  ours

    assert [row["i"] for row in probe.value(query(sql, repr(parameters)))] == found


def test_names_may_hold_dots_and_stand_for_a_table(probe: Probe) -> None:
    probe.run(
        """
        line = LineBuilder("river.model").tag("x.y", "1").string_field("p", "z" * 60000)
        influxdb3_local.write_sync(line, no_sync=False)
        """
    )

    for table, rest in [('"river.model"', "{}"), ("$t", "{'t': 'river.model'}")]:
        sql = f"""SELECT character_length(p) AS v FROM {table} WHERE "x.y" = '1'"""  # noqa: S608  ours
        assert probe.value(query(sql, rest)) == [{"v": 60000}]


def test_all_arguments_may_be_named(probe: Probe) -> None:
    sql = "SELECT v FROM n WHERE v = $v"
    named = f"influxdb3_local.query(database='other', args={{'v': 1}}, query={sql!r})"

    assert probe.value(named) == [{"v": 1}]
    assert probe.value(query(sql, "{'v': 1}", "'other'")) == [{"v": 1}]


def test_buffered_lines_are_not_seen_and_synced_ones_are(probe: Probe) -> None:
    counted = probe.run(
        """
        influxdb3_local.write_sync(LineBuilder("seen").int64_field("v", 1).time_ns(1), False)
        influxdb3_local.write(LineBuilder("seen").int64_field("v", 1).time_ns(2))
        result = influxdb3_local.query("SELECT count(*) AS n FROM seen")
        """
    )

    assert counted == [{"n": 1}]
    assert probe.value(query("SELECT count(*) AS n FROM seen")) == [{"n": 2}]


def test_system_tables_answer_plugins_too(probe: Probe) -> None:
    sql = "SELECT trigger_name FROM system.processing_engine_triggers"
    assert probe.value(query(sql)) == [{"trigger_name": "probe"}]

    said = "SELECT count(*) > 0 AS v FROM system.queries WHERE query_text LIKE '%_triggers%'"
    assert probe.value(query(said)) == [{"v": True}]


@pytest.mark.parametrize(
    ("sql", "values"),
    [
        ("SELECT table_name AS v FROM information_schema.tables WHERE table_schema = 'iox'", ["m"]),
        (
            (
                "SELECT column_name AS v FROM information_schema.columns WHERE table_name = 'm' "
                "AND data_type = 'Dictionary(Int32, Utf8)'"
            ),
            ["t"],
        ),
        (
            (
                "SELECT column_name AS v FROM information_schema.columns WHERE table_name = 'm' "
                "AND data_type IN ('Int64', 'Float64', 'UInt64')"
            ),
            ["f", "i", "u"],
        ),
        ("SELECT avg(i) AS v FROM 'm'", [2.0]),
        ("SELECT min(time) AS v FROM m WHERE i > 100", [None]),
        (
            (
                "SELECT DATE_BIN(INTERVAL '10 minutes', time, '1970-01-01T00:00:00Z') AS v, "
                "first_value(i ORDER BY time), stddev(i), approx_median(i) FROM m GROUP BY v"
            ),
            [0],
        ),
        ("SELECT count(i) AS v FROM m WHERE time < now() - INTERVAL '5m'", [3]),
        ("SELECT count(i) AS v FROM m WHERE time < '2026-01-02 03:04:05.678901'", [3]),
        ("SELECT count(i) AS v FROM m WHERE time < '2026-01-02T03:04:05+00:00'", [3]),
    ],
)
def test_the_questions_of_published_plugins_are_answered(
    probe: Probe, sql: str, values: list[object]
) -> None:
    rows = probe.value(query(sql))

    assert [value for value in (row["v"] for row in rows) if value not in _MADE] == values
