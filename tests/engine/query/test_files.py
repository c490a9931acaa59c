"""Queries over files and memory give what the same rows give when all are in memory."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.errors import DamagedFile, QueryTooLarge
from engine.model.file import ParquetFile
from engine.model.schema import Column, ColumnType, TableSchema
from engine.query.executor import execute
from engine.query.file_reader import FileReader
from engine.query.rewrite import Params, rewrite
from engine.query.shelf import Shelf
from engine.query.snapshot import Limits, QuerySnapshot, SystemView, TableSnapshot
from engine.storage.parquet import new_path, write_file
from engine.storage.pieces import unique_piece
from engine.storage.union import aligned, joined, tags_of, without_empty_columns

SCHEMA = TableSchema(
    (
        Column("host", ColumnType.TAG),
        Column("Zone.ü", ColumnType.TAG),
        Column("usage", ColumnType.FLOAT),
        Column("count", ColumnType.UINTEGER),
        Column("ok", ColumnType.BOOLEAN),
        Column("note", ColumnType.STRING),
        Column("level", ColumnType.INTEGER),
    )
)
U64_MAX = 2**64 - 1
Row = dict[str, object]


def batch_of(rows: Sequence[Row]) -> pa.RecordBatch:
    """Rows as they are written: without the columns that none has."""
    whole = pa.RecordBatch.from_pylist(list(rows), schema=SCHEMA.arrow)
    return without_empty_columns(pa.RecordBatch.from_arrays(whole.columns, whole.schema.names))


def in_file(root: Path, rows: Sequence[Row], order: int) -> ParquetFile:
    batch = batch_of(rows)
    return write_file(batch, tags_of(batch), root, new_path(1, 2, 0, order), order)


def in_memory(rows: Sequence[Row]) -> tuple[pa.RecordBatch, ...]:
    if not rows:
        return ()
    merged = unique_piece(batch_of(rows)).rows
    return (aligned(merged, SCHEMA.arrow),)


def table_of(root: Path, files: Sequence[Sequence[Row]], memory: Sequence[Row]) -> TableSnapshot:
    written = tuple(in_file(root, rows, order) for order, rows in enumerate(files, 1))
    return TableSnapshot(SCHEMA.arrow, in_memory(memory), written, str(root))


def run(
    table: TableSnapshot,
    sql: str,
    params: Params | None = None,
    reader: FileReader | None = None,
    limits: Limits | None = None,
) -> pa.Table:
    tables = {"cpu": table, 'Odd "n.a"me': table, "cp": TableSnapshot(SCHEMA.arrow)}
    text, bound = rewrite(sql, params or {})
    return execute(QuerySnapshot("db", tables), text, bound, limits or Limits(), reader)


def row(time_ns: int, host: str | None = "a", **values: object) -> Row:
    return {"time": time_ns, "host": host, **values}


FIRST = [row(10, usage=1.0, note="x"), row(20, usage=2.0), row(30, "b", usage=3.0)]
SECOND = [row(30, "b", count=U64_MAX), row(40, usage=4.0, ok=True)]
LATE = [row(20, usage=9.0, level=-5), row(50, None, usage=5.0), row(35, note="ü 'q'")]

QUERIES = [
    "SELECT * FROM cpu ORDER BY time, host",
    'SELECT count(*), max("count"), sum(level) FROM cpu',
    "SELECT count(*) FROM cpu WHERE time >= 20 AND time < 40",
    "SELECT host, avg(usage) AS u, count(note) AS n FROM cpu GROUP BY host ORDER BY host",
    "SELECT time, usage FROM cpu WHERE host = 'a' ORDER BY time DESC LIMIT 3",
    "SELECT time, usage FROM cpu WHERE time > 20 AND host = 'a' ORDER BY time LIMIT 2",
    'SELECT DISTINCT "Zone.ü" FROM cpu ORDER BY 1',
    "SELECT count(*) FROM cpu a JOIN cpu b ON a.time = b.time WHERE a.time > 15 AND b.time < 45",
    'WITH late AS (SELECT * FROM cpu WHERE time > 25) SELECT count(*) FROM late, "Odd ""n.a""me"',
    "SELECT count(*) FROM cpu WHERE time = (SELECT max(time) FROM cpu)",
    "SELECT count(*) FROM cpu WHERE host IN (SELECT host FROM cpu WHERE time <= 20)",
    'SELECT * FROM "Odd ""n.a""me" WHERE usage > 1.5 OR ok ORDER BY time, host',
    "SELECT count(*) FROM cp",
    "SELECT time, host FROM cpu UNION ALL SELECT time, host FROM cp ORDER BY time, host",
    "SELECT time, lag(usage) OVER (PARTITION BY host ORDER BY time) AS u FROM cpu ORDER BY 1, 2",
    "SELECT * FROM cpu WHERE false",
    "SELECT count(*) FROM cpu WHERE time BETWEEN 21 AND 29",
    "SELECT note FROM cpu WHERE host IS NULL ORDER BY time",
    "SELECT count(*) FROM public.iox.cpu WHERE time > 20",
    "SELECT count(*) FROM iox.CPU WHERE cpu.time > 20",
    'SELECT count(*) FROM public.iox."Odd ""n.a""me" AS "cp" WHERE "cp".time > 20',
    "EXPLAIN SELECT host FROM cp",
    (
        "WITH x AS (SELECT max(usage) AS u, host FROM cpu WHERE time > 20 GROUP BY host)"
        " SELECT cpu.host, x.u FROM cpu LEFT JOIN x ON x.host = cpu.host ORDER BY 1, 2"
    ),
    "SELECT count(*) FROM cpu WHERE EXISTS (SELECT 1 FROM cpu AS b WHERE b.time = cpu.time)",
    (
        "WITH RECURSIVE n AS (SELECT max(level) AS v FROM cpu UNION ALL SELECT v + 1 FROM n"
        " WHERE v <= -1) SELECT count(*) FROM n"
    ),
]


def plain(found: pa.Table) -> list[Row]:
    """Return the rows with times as integers, which Python's own cannot hold."""
    columns = [c.cast(pa.int64()) if pa.types.is_timestamp(c.type) else c for c in found.columns]
    return list(pa.table(columns, names=found.schema.names).to_pylist())


def timed(sql: str) -> str:
    """Write the small integers that are compared with times as times."""
    words = sql.split(" ")
    for before, place in itertools.pairwise(range(len(words))):
        is_after_time = words[before] in {">", "<", ">=", "<=", "=", "BETWEEN", "AND"}
        number = words[place].rstrip(")")
        if is_after_time and number.isdecimal():
            tail = words[place][len(number) :]
            words[place] = f"to_timestamp_nanos({number}){tail}"
    return " ".join(words)


@pytest.mark.parametrize("sql", QUERIES)
def test_rows_in_files_and_memory_are_one_table(sql: str, tmp_path: Path) -> None:
    table = table_of(tmp_path, [FIRST, SECOND], LATE)
    alone = TableSnapshot(SCHEMA.arrow, in_memory([*FIRST, *SECOND, *LATE]))

    found, expected = run(table, timed(sql)), run(alone, timed(sql))

    assert found.schema.equals(expected.schema, check_metadata=True)
    assert plain(found) == plain(expected)


CELLS = {
    "host": st.sampled_from(["a", "b", None]),
    "Zone.ü": st.sampled_from(["z", None]),
    "usage": st.sampled_from([0.5, -1.0, None]),
    "count": st.sampled_from([1, U64_MAX, None]),
    "ok": st.sampled_from([True, None]),
    "note": st.sampled_from(["x", "", None]),
    "level": st.sampled_from([-5, None]),
}
ROWS = st.lists(st.fixed_dictionaries({"time": st.integers(0, 60), **CELLS}), max_size=12)


@settings(deadline=None, max_examples=30, suppress_health_check=list(HealthCheck))
@given(
    files=st.lists(ROWS, max_size=3),
    memory=ROWS,
    oldest=st.none() | st.integers(0, 60),
    sql=st.sampled_from(QUERIES),
)
def test_any_split_of_rows_gives_the_same_results(
    files: list[list[Row]], memory: list[Row], oldest: int | None, sql: str
) -> None:
    whole = [each for rows in [*files, memory] for each in rows]
    alone = TableSnapshot(SCHEMA.arrow, in_memory(whole), oldest_ns=oldest)

    with tempfile.TemporaryDirectory() as folder:
        split = table_of(Path(folder), [rows for rows in files if rows], memory)
        found = run(replace(split, oldest_ns=oldest), timed(sql))

    expected = run(alone, timed(sql))
    assert found.schema.equals(expected.schema, check_metadata=True)
    assert plain(found) == plain(expected)


def test_tables_are_listed_as_base_tables(tmp_path: Path) -> None:
    table = table_of(tmp_path, [FIRST, SECOND], LATE)

    listed = run(table, "SHOW TABLES").to_pylist()

    kinds = {r["table_type"] for r in listed if r["table_schema"] == "iox"}
    assert kinds == {"BASE TABLE"}


def test_only_files_of_the_times_asked_for_are_read(tmp_path: Path) -> None:
    table = table_of(tmp_path, [FIRST, [row(100)], [row(200)]], [])
    for file in table.files[1:]:
        (tmp_path / file.path).unlink()
    reader = FileReader(Shelf(), 2**20)

    found = run(table, timed("SELECT usage FROM cpu c WHERE time < 50"), reader=reader)

    assert (found.num_rows, reader.files) == (3, 1)


@pytest.mark.parametrize("damage", ["missing", "shorter", "flipped"])
@pytest.mark.parametrize("is_known", [False, True])
def test_damaged_file_is_named_and_never_counts_as_empty(
    damage: str, is_known: bool, tmp_path: Path
) -> None:
    table = table_of(tmp_path, [FIRST], [])
    path = tmp_path / table.files[0].path
    content = path.read_bytes()
    shelf = Shelf()
    if is_known and damage != "flipped":
        run(table, "SELECT * FROM cpu", reader=FileReader(shelf, 2**20))

    if damage == "missing":
        path.unlink()
    else:
        flipped = content[:50] + bytes([content[50] ^ 1]) + content[51:]
        path.write_bytes(content[:-1] if damage == "shorter" else flipped)

    with pytest.raises(DamagedFile, match="restore it from a backup") as caught:
        run(table, "SELECT * FROM cpu", reader=FileReader(shelf, 2**20))
    assert table.files[0].path in str(caught.value)
    assert run(table, "SELECT count(*) FROM cp").num_rows == 1


@pytest.mark.parametrize("offset", [4, -20])
def test_file_that_is_damaged_after_it_was_checked_is_named(offset: int, tmp_path: Path) -> None:
    table, shelf = table_of(tmp_path, [FIRST], []), Shelf()
    run(table, "SELECT * FROM cpu", reader=FileReader(shelf, 2**20))
    path = tmp_path / table.files[0].path
    content = bytearray(path.read_bytes())
    content[offset] ^= 255
    path.write_bytes(content)

    with pytest.raises(DamagedFile, match="is damaged"):
        run(table, "SELECT * FROM cpu", reader=FileReader(shelf, 2**20))


@pytest.mark.parametrize(
    "sql", ["SELECT note FROM cpu", "SELECT count(note) FROM cpu WHERE note > 'y'"]
)
@pytest.mark.parametrize("size", [100, 4000, 5000])
def test_long_text_in_one_of_several_row_groups_comes_back(
    sql: str, size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.storage.parquet._GROUP_ROWS", 2)
    rows = [row(time_ns, note="x") for time_ns in range(4)] + [row(4, note="z" * size)]

    found = run(table_of(tmp_path, [rows], []), sql)

    expected = run(TableSnapshot(SCHEMA.arrow, in_memory(rows)), sql)
    assert sorted(map(str, plain(found))) == sorted(map(str, plain(expected)))


def test_negative_zero_joins_zero(tmp_path: Path) -> None:
    table = table_of(tmp_path, [[row(1, usage=0.0), row(2, usage=-0.0)]], [row(9)])

    joined_to = "SELECT usage + 0 AS u FROM cpu WHERE time = to_timestamp_nanos(1)"
    found = run(table, f"SELECT 1 FROM ({joined_to}) a JOIN cpu b ON a.u = b.usage")  # noqa: S608

    assert found.num_rows == 2


def test_folder_may_have_any_name(tmp_path: Path) -> None:
    root = tmp_path / "a b[1]%20*ü?{x}#&"

    table = table_of(root, [FIRST, SECOND], LATE)

    assert run(table, "SELECT count(*) FROM cpu").column(0).to_pylist() == [6]


def test_too_many_contested_rows_are_refused(tmp_path: Path) -> None:
    table = table_of(tmp_path, [FIRST, SECOND], LATE)

    with pytest.raises(QueryTooLarge, match="rows of the same times"):
        run(table, "SELECT * FROM cpu", limits=Limits(max_merged_bytes=10))


def test_columns_that_are_not_read_are_not_merged(tmp_path: Path) -> None:
    files = [[row(n, note="x" * 10_000) for n in range(start, 9)] for start in range(2)]
    table = table_of(tmp_path, files, [row(5, level=3)])
    limits = Limits(max_merged_bytes=10_000)

    found = run(table, "SELECT count(*), max(level) FROM (SELECT * FROM cpu)", limits=limits)

    assert list(found.to_pylist()[0].values()) == [9, 3]
    with pytest.raises(QueryTooLarge, match="fewer columns"):
        run(table, "SELECT max(note) FROM cpu", limits=limits)


def test_one_point_among_too_many_contested_rows_is_read(tmp_path: Path) -> None:
    files = [[row(n, note="x" * 10_000) for n in range(start, 9)] for start in range(2)]
    table, limits = table_of(tmp_path, files, []), Limits(max_merged_bytes=30_000)

    found = run(table, timed("SELECT max(note) AS n FROM cpu WHERE time = 4"), limits=limits)

    assert found.to_pylist() == [{"n": "x" * 10_000}]


def test_merged_rows_of_files_are_kept_for_the_next_query(tmp_path: Path) -> None:
    shelf = Shelf()
    table = table_of(tmp_path, [FIRST, SECOND], [])
    first = run(table, "SELECT * FROM cpu ORDER BY time", reader=FileReader(shelf, 2**20))
    assert "0 bytes" not in repr(shelf)

    second = run(table, "SELECT * FROM cpu ORDER BY time", reader=FileReader(shelf, 2**20))

    assert plain(second) == plain(first)


def test_system_view_shows_rows_of_its_database_from_files_and_memory(tmp_path: Path) -> None:
    schema = TableSchema((Column("database", ColumnType.TAG), Column("id", ColumnType.STRING)))
    rows = [{"database": name, "id": name * 2, "time": 5} for name in ("x", "y")]
    batch = pa.RecordBatch.from_pylist(rows, schema=schema.arrow)
    written = pa.RecordBatch.from_arrays(batch.columns, batch.schema.names)
    file = write_file(written, ("database",), tmp_path, new_path(1, 2, 0, 1), 1)
    newer = aligned(joined([written.slice(1)]), schema.arrow)
    stored = TableSnapshot(schema.arrow, (newer,), (file,), str(tmp_path))
    columns = {"event_time": "time", "database": "database", "id": "id"}

    def read_before(time_ns: int) -> int:
        reader = FileReader(Shelf(), 2**20)
        sql = f"SELECT id FROM system.runs WHERE event_time < to_timestamp_nanos({time_ns})"  # noqa: S608
        view = SystemView(stored, columns)
        execute(QuerySnapshot("db", {}, {"runs": view}), sql, {}, Limits(), reader)
        return reader.files

    def shown(database: str | None) -> list[Row]:
        view = SystemView(stored, columns, database)
        sql = "SELECT * FROM system.runs ORDER BY id"
        found = execute(QuerySnapshot("db", {}, {"runs": view}), sql, {}, Limits())
        assert found.schema.field("database").type == pa.utf8()
        return [{"database": r["database"], "id": r["id"]} for r in plain(found)]

    assert shown("x") == [{"database": "x", "id": "xx"}]
    assert shown(None) == [{"database": "x", "id": "xx"}, {"database": "y", "id": "yy"}]
    assert (read_before(4), read_before(6)) == (0, 1)
