from __future__ import annotations

import pickle
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from engine.errors import (
    QueryExecutionFailed,
    QueryRejected,
    QueryTooLarge,
    QueryUnsupported,
)
from engine.model.schema import Column, ColumnType, TableSchema
from engine.query.executor import execute
from engine.query.rewrite import Params, rewrite
from engine.query.snapshot import Limits, QuerySnapshot, TableSnapshot

SCHEMA = TableSchema(
    (
        Column("host", ColumnType.TAG),
        Column("usage", ColumnType.FLOAT),
        Column("count", ColumnType.UINTEGER),
        Column("ok", ColumnType.BOOLEAN),
        Column("note", ColumnType.STRING),
        Column("level", ColumnType.INTEGER),
    )
)
MINUTE = 60 * 10**9
U64_MAX = 2**64 - 1
NOW = time.time_ns()
ROWS: list[dict[str, object]] = [
    {"host": "a", "usage": 0.5, "count": 1, "ok": True, "note": "x", "level": 1},
    {"host": "b", "usage": 91.0, "count": U64_MAX, "ok": False, "level": -5},
    {"host": "a", "usage": 95.5, "note": "ü 'q' \"d\""},
]
for age, row in enumerate(ROWS):
    row["time"] = NOW - (10 - age) * MINUTE + 123


def rows_of(rows: Sequence[Mapping[str, object]] = ROWS) -> TableSnapshot:
    batch = pa.RecordBatch.from_pylist(list(rows), schema=SCHEMA.arrow)
    return TableSnapshot(SCHEMA.arrow, (batch,))


LOGS = pa.table({"log_text": ["hello"]})
SNAPSHOT = QuerySnapshot(
    "db",
    {
        "cpu": rows_of(),
        "metrics": rows_of(),
        "My Table.x": rows_of(),
        'größe "é"': rows_of(),
        "empty": TableSnapshot(SCHEMA.arrow),
    },
    {"queries": LOGS, "processing_engine_logs": LOGS},
)


def run(
    sql: str,
    params: Params | None = None,
    snapshot: QuerySnapshot = SNAPSHOT,
    limits: Limits | None = None,
) -> pa.Table:
    rewritten, bound = rewrite(sql, params or {})
    return execute(snapshot, rewritten, bound, limits or Limits())


def column(sql: str, params: Params | None = None) -> list[object]:
    found = run(sql, params).column(0)
    return (found.cast(pa.int64()) if pa.types.is_timestamp(found.type) else found).to_pylist()


@pytest.mark.parametrize(
    ("sql", "params", "expected"),
    [
        ("SELECT * from cpu where note = 'x' and time > now() - 'interval 1 hour'", {}, 1),
        (
            "SELECT * from cpu where host = $bar and time > now() - 'interval 1 hour'",
            {"bar": "a"},
            2,
        ),
        ("SELECT * FROM cpu WHERE time > now() - 'interval 5m'", {}, 0),
        ("SELECT * FROM metrics WHERE time > now() - INTERVAL '1 hour'", {}, 3),
        (
            "SELECT * FROM $table WHERE usage > $threshold",
            {"table": "metrics", "threshold": 90},
            2,
        ),
        ("SELECT * FROM $table WHERE usage > $t", {"table": "My Table.x", "t": "90.5"}, 2),
    ],
)
def test_queries_of_the_plugin_documentation_run(sql: str, params: Params, expected: int) -> None:
    assert run(sql, params).num_rows == expected


@pytest.mark.parametrize(
    ("sql", "params", "expected"),
    [
        (
            (
                "SELECT column_name FROM information_schema.columns WHERE table_name = $measurement"
                " AND data_type = 'Dictionary(Int32, Utf8)'"
            ),
            {"measurement": "cpu"},
            ["host"],
        ),
        (
            "SELECT data_type FROM information_schema.columns WHERE table_name = $table",
            {"table": "cpu"},
            [
                "UInt64",
                "Dictionary(Int32, Utf8)",
                "Int64",
                "Utf8",
                "Boolean",
                "Timestamp(ns)",
                "Float64",
            ],
        ),
        ("SELECT MIN(time) AS _t FROM 'cpu'", {}, [ROWS[0]["time"]]),
        ('SELECT DISTINCT "host" FROM cpu ORDER BY 1', {}, ["a", "b"]),
        ("SELECT count(*) FROM \"cpu\" WHERE time > now() - INTERVAL '30 days'", {}, [3]),
        ("SELECT host FROM 'cpu' WHERE time >= '2020-01-01T00:00:00' ORDER BY time", {}, None),
        (
            "SELECT host FROM 'cpu' WHERE time >= '2020-01-01T00:00:00+00:00' ORDER BY time",
            {},
            None,
        ),
        (
            (
                "SELECT count(*) FROM (SELECT DATE_BIN(INTERVAL '600 seconds', time,"
                " '1970-01-01T00:00:00Z') AS _time, avg(\"usage\") FROM cpu GROUP BY _time)"
            ),
            {},
            None,
        ),
        ("SELECT date_bin(INTERVAL '5 minutes', time) AS t FROM cpu", {}, None),
        ("SELECT time::bigint AS t FROM cpu ORDER BY 1 LIMIT $n", {"n": 1}, [ROWS[0]["time"]]),
        ("SELECT to_timestamp(1700000000000000000)", {}, [1700000000000000000]),
        ("SELECT max(count) FROM cpu", {}, [U64_MAX]),
        ("SELECT host FROM cpu WHERE count = $c", {"c": U64_MAX}, ["b"]),
        ("SELECT host FROM cpu WHERE ok = $ok", {"ok": False}, ["b"]),
        ("SELECT $x", {"x": None, "unused": 1}, [None]),
        ("SELECT host FROM cpu WHERE level = $1", {"1": -5}, ["b"]),
        ("SELECT note FROM cpu WHERE note LIKE 'ü%'", {}, ["ü 'q' \"d\""]),
        ("SELECT host FROM public.iox.cpu LIMIT 1;", {}, ["a"]),
        ('SELECT count(*) FROM "größe ""é"""', {}, [3]),
        ("SELECT count(*) FROM CPU", {}, [3]),
        ("SELECT count(*), avg(usage) FROM empty -- nothing", {}, [0]),
        ("SELECT log_text FROM system.queries", {}, ["hello"]),
        ("SELECT log_text FROM public.system.processing_engine_logs", {}, ["hello"]),
    ],
)
def test_queries_of_real_plugins_run(
    sql: str, params: Params, expected: list[object] | None
) -> None:
    found = column(sql, params)

    assert found == expected if expected is not None else len(found) > 0


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("SELECT * FROM x", "Error during planning: table 'public.iox.x' not found"),
        ("SELECT * FROM system.x", "Error during planning: table 'public.system.x' not found"),
        ("SELECT * FROM '/etc/passwd'", "table 'public.iox./etc/passwd' not found"),
        ("SELECT nocol FROM cpu", "Schema error: No field named nocol."),
        ("SELECT foo(1)", "Error during planning: Invalid function 'foo'"),
        ("selec 1", "SQL error: ParserError"),
        ("", "Error during planning: No SQL statements"),
        ("SELECT 1 FROM cpu WHERE host = $host", "No value found for placeholder with name $host"),
        ("SELECT 1 FROM cpu WHERE time = 'garbage'", "Error parsing timestamp from 'garbage'"),
        ("SELECT 1 FROM cpu WHERE time >= 1700000000", "Cannot infer common argument type"),
    ],
)
def test_wrong_sql_is_rejected_in_the_words_of_datafusion(sql: str, message: str) -> None:
    with pytest.raises(QueryRejected) as caught:
        run(sql)

    assert message in str(caught.value)
    assert not str(caught.value).startswith("DataFusion error")


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TABLE t AS SELECT 1",
        "CREATE VIEW v AS SELECT 1",
        "CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '{path}'",
        "CREATE DATABASE d",
        "DROP TABLE cpu",
        "INSERT INTO cpu SELECT * FROM cpu",
        "DELETE FROM cpu",
        "UPDATE cpu SET usage = 1",
        "COPY cpu TO '{path}'",
        "COPY (SELECT 1) TO '{path}' STORED AS CSV",
        "EXPLAIN ANALYZE COPY cpu TO '{path}'",
        "SET datafusion.execution.batch_size = 1",
        "RESET datafusion.execution.batch_size",
        "PREPARE p AS SELECT 1",
        "EXECUTE p",
        "SELECT 1 INTO t",
    ],
)
def test_statement_that_would_change_something_is_refused(sql: str, tmp_path: Path) -> None:
    target = tmp_path / "out.csv"

    with pytest.raises(QueryRejected, match="not supported"):
        run(sql.replace("{path}", str(target)))

    assert not target.exists()


@pytest.mark.parametrize(
    "sql", ["SELECT 1; SELECT 2", "SHOW DATABASES", "BEGIN", "USE x", "SELECT INTERVAL $x"]
)
def test_what_datafusion_lacks_is_unsupported(sql: str) -> None:
    with pytest.raises(QueryUnsupported, match=r"^This feature is not implemented: "):
        run(sql, {"x": "1 hour"})


@pytest.mark.parametrize(
    "sql",
    [
        "EXPLAIN SELECT * FROM cpu",
        "EXPLAIN ANALYZE SELECT * FROM cpu",
        "SHOW ALL",
        "DESCRIBE cpu",
        "SHOW COLUMNS FROM cpu",
    ],
)
def test_statements_that_only_show_are_allowed(sql: str) -> None:
    assert run(sql).num_rows > 0


def test_failure_while_running_is_ours() -> None:
    with pytest.raises(QueryExecutionFailed, match="Divide by zero"):
        run("SELECT 1 / (level - level) FROM cpu WHERE level = 1")


@pytest.mark.parametrize("value", [2**64, -(2**63) - 1])
def test_integer_parameter_beyond_64_bits_is_refused(value: int) -> None:
    with pytest.raises(QueryRejected, match="outside of the 64-bit integers"):
        run("SELECT $x", {"x": value})


@pytest.mark.parametrize("value", [[1], {"a": 1}, b"x"])
def test_parameter_that_is_no_plain_value_is_refused(value: object) -> None:
    with pytest.raises(QueryRejected, match=r"parameter \$x must be null, a boolean, a number"):
        run("SELECT $x", {"x": value})  # type: ignore[dict-item]


def test_parameter_never_becomes_sql() -> None:
    assert column("SELECT $x", {"x": "'; DROP TABLE cpu; --"}) == ["'; DROP TABLE cpu; --"]
    with pytest.raises(QueryRejected, match="not found"):
        run("SELECT * FROM $t", {"t": 'cpu" WHERE 1=1 --'})


def test_result_has_plain_names_and_types() -> None:
    result = run("SELECT * FROM cpu")

    assert result.schema.names == ["count", "host", "level", "note", "ok", "time", "usage"]
    assert all(f.metadata is None for f in result.schema)
    assert result.schema.metadata is None
    assert result.schema.field("host").type == pa.dictionary(pa.int32(), pa.utf8())
    assert result.schema.field("time").type == pa.timestamp("ns")


def test_empty_result_keeps_its_columns() -> None:
    assert run("SELECT host FROM cpu WHERE false").schema.names == ["host"]


def test_show_tables_lists_users_tables_then_system_then_information_schema() -> None:
    result = run("SHOW TABLES")

    names = list(
        zip(
            result.column("table_schema").to_pylist(),
            result.column("table_name").to_pylist(),
            strict=True,
        )
    )
    assert names[:5] == [("iox", n) for n in ("My Table.x", "cpu", "empty", 'größe "é"', "metrics")]
    assert names[5:7] == [("system", "processing_engine_logs"), ("system", "queries")]
    assert [n for _, n in names[7:]] == [
        *("tables", "views", "columns", "df_settings", "schemata", "routines", "parameters")
    ]
    assert set(result.column("table_type").to_pylist()[:7]) == {"BASE TABLE"}


def test_result_with_too_many_rows_is_refused() -> None:
    with pytest.raises(QueryTooLarge, match="more than 2 rows"):
        run("SELECT * FROM cpu", limits=Limits(max_rows=2))


def test_result_with_too_many_bytes_is_refused() -> None:
    with pytest.raises(QueryTooLarge, match="larger than 1000 bytes"):
        run("SELECT value FROM generate_series(1, 100000)", limits=Limits(max_bytes=1000))


def test_query_that_needs_too_much_memory_is_refused() -> None:
    limits = Limits(max_memory_bytes=100_000)

    with pytest.raises(QueryTooLarge, match="needs more memory than it may use"):
        run("SELECT value FROM generate_series(1, 1000000) ORDER BY value DESC", limits=limits)


def minutes(count: int, per_batch: int, now_ns: int | None = None) -> QuerySnapshot:
    """A large table, one row a minute up to now, in batches ordered by time."""
    now_ns = time.time_ns() if now_ns is None else now_ns
    ages = np.arange(count, 0, -1)
    batches = []
    for start in range(0, count, per_batch):
        part = ages[start : start + per_batch]
        time_ns = pa.array(now_ns - part * MINUTE, pa.int64()).cast(pa.timestamp("ns"))
        host = pa.array(["a"] * len(part)).dictionary_encode()
        arrays = {"host": host, "time": time_ns, "level": pa.array(part)}
        batches.append(
            pa.RecordBatch.from_arrays(
                [arrays.get(f.name, pa.nulls(len(part), f.type)) for f in SCHEMA.arrow],
                schema=SCHEMA.arrow,
            )
        )
    return QuerySnapshot("db", {"cpu": TableSnapshot(SCHEMA.arrow, tuple(batches))})


@pytest.mark.parametrize(
    "condition",
    [
        "time > now() - INTERVAL '20 minutes'",
        "time < now() - INTERVAL '20 minutes'",
        "time BETWEEN now() - INTERVAL '30 minutes' AND now() - INTERVAL '20 minutes'",
        "now() - INTERVAL '20 minutes' <= time AND host = 'a'",
        "time = to_timestamp_nanos({exact})",
        "time > now() - INTERVAL '5 minutes' OR level = 90",
        "NOT time > now() - INTERVAL '5 minutes'",
        "time > now() - INTERVAL '5 minutes' AND time < now() - INTERVAL '10 minutes'",
        "time > (SELECT max(time) FROM cpu WHERE level > 50)",
        "level IN (SELECT level FROM cpu WHERE time < now() - INTERVAL '90 minutes')",
        "time + INTERVAL '5 minutes' > now()",
        "level > 3",
    ],
)
def test_pruned_table_gives_the_same_rows_as_one_batch(condition: str) -> None:
    condition = condition.replace("{exact}", str(NOW - 33 * MINUTE))
    sql = f"SELECT level FROM cpu WHERE {condition} ORDER BY time"  # noqa: S608
    large = minutes(100, 7, NOW)
    whole = pa.Table.from_batches(large.tables["cpu"].batches).combine_chunks().to_batches()[0]
    single = QuerySnapshot("db", {"cpu": TableSnapshot(SCHEMA.arrow, (whole,))})

    found = run(sql, snapshot=large).column(0).to_pylist()

    assert found == run(sql, snapshot=single).column(0).to_pylist()


def test_scans_of_one_table_with_different_bounds_are_all_served() -> None:
    sql = (
        "SELECT count(*) FROM cpu a JOIN cpu b ON a.host = b.host"
        " WHERE a.time > now() - INTERVAL '2 minutes 30 seconds'"
        " AND b.time < now() - INTERVAL '98 minutes 30 seconds'"
    )

    assert run(sql, snapshot=minutes(100, 7)).column(0).to_pylist() == [4]


def test_explain_shows_that_only_rows_of_the_time_are_scanned() -> None:
    sql = "SELECT level FROM cpu WHERE time > now() - INTERVAL '5 minutes 30 seconds'"

    (_, plan) = run("EXPLAIN " + sql, snapshot=minutes(100, 7)).column("plan").to_pylist()

    assert "partition_sizes=[2]" in plan  # of 15 batches


def test_large_table_is_scanned_in_parallel_with_the_same_result() -> None:
    limits = Limits(single_thread_rows=10)

    result = run("SELECT count(*), sum(level) FROM cpu", snapshot=minutes(100, 7), limits=limits)

    assert result.to_pylist()[0] == {"count(*)": 100, "sum(cpu.level)": 5050}


def test_snapshot_that_went_to_another_process_gives_the_same_result() -> None:
    sql = "SELECT * FROM cpu ORDER BY time"

    moved = pickle.loads(pickle.dumps(SNAPSHOT))  # noqa: S301 (our own bytes)

    assert run(sql, snapshot=moved).equals(run(sql))
