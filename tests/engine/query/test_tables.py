from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pytest

from engine.catalog.change import AddColumns, CreateDatabase, CreateTable
from engine.catalog.objects import LocalObjects
from engine.catalog.state import Catalog, Database
from engine.catalog.store import CatalogStore
from engine.clock import ManualClock
from engine.errors import Busy, DatabaseNotFound, QueryRejected, Stopping
from engine.logs import LogRing
from engine.model.entry import Client, TableRows, WriteEntry
from engine.model.schema import Column, ColumnType
from engine.query.system_tables import SystemTables
from engine.query.tables import QueryService
from engine.storage.buffer import HotBuffer

NOW = 1_700_000_000 * 10**9
DB, CPU, MIXED = 1, 2, 3


@dataclass
class Site:
    """A query service with all it needs."""

    catalog: CatalogStore
    buffer: HotBuffer
    clock: ManualClock
    system: SystemTables
    queries: QueryService

    def write(self, table_id: int, time_ns: int, **values: object) -> None:
        columns = {
            name: pa.array([value]).dictionary_encode() if name == "host" else pa.array([value])
            for name, value in values.items()
        }
        columns["time"] = pa.array([time_ns], pa.timestamp("ns"))
        rows = TableRows(DB, table_id, pa.RecordBatch.from_pydict(columns))
        self.buffer.append(self.buffer.end, [WriteEntry(Client(), DB, (), None, (rows,))])

    def column(self, sql: str, database: str = "db") -> list[object]:
        return self.queries.run(database, sql).column(0).to_pylist()  # type: ignore[no-any-return]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    catalog = CatalogStore.open(LocalObjects(tmp_path))
    columns = (Column("host", ColumnType.TAG), Column("usage", ColumnType.FLOAT))
    changes = [
        CreateDatabase(DB, "db"),
        CreateTable(CPU, DB, "cpu", columns),
        CreateTable(MIXED, DB, "Größe.1", columns),
    ]
    catalog.update(lambda _: changes)
    clock, buffer, system = ManualClock(NOW), HotBuffer(), SystemTables(LogRing())
    queries = QueryService(catalog, buffer, system, max_pending=3, clock=clock)
    yield Site(catalog, buffer, clock, system, queries)
    queries.stop()


def test_duplicates_merge_over_writes_field_by_field(site: Site) -> None:
    site.catalog.update(lambda _: [AddColumns(CPU, (Column("note", ColumnType.STRING),))])
    site.write(CPU, 5, host="a", usage=1.0)
    site.write(CPU, 5, host="b", usage=2.0)
    assert site.column("SELECT count(*) FROM cpu") == [2]
    site.write(CPU, 5, host="a", note="n")
    site.write(CPU, 5, host="b", usage=3.0)

    result = site.queries.run("db", "SELECT host, usage, note FROM cpu ORDER BY host")

    assert result.to_pylist() == [
        {"host": "a", "usage": 1.0, "note": "n"},
        {"host": "b", "usage": 3.0, "note": None},
    ]


def test_column_that_came_later_is_null_in_older_rows(site: Site) -> None:
    site.write(CPU, 5, host="a", usage=1.0)
    site.catalog.update(lambda _: [AddColumns(CPU, (Column("b", ColumnType.BOOLEAN),))])

    assert site.queries.run("db", "SELECT * FROM cpu").schema.names == [
        "b",
        "host",
        "time",
        "usage",
    ]


@pytest.mark.parametrize(
    "sql",
    [
        'SELECT host FROM "Größe.1"',
        "SELECT host FROM 'Größe.1'",
        'SELECT host FROM public.iox."Größe.1"',
    ],
)
def test_table_of_any_name_is_found(site: Site, sql: str) -> None:
    site.write(MIXED, 5, host="a")

    assert site.column(sql) == ["a"]


def test_table_named_by_a_parameter_is_found(site: Site) -> None:
    site.write(MIXED, 5, host="a")

    result = site.queries.run("db", "SELECT host FROM $table", {"table": "Größe.1"})

    assert result.column(0).to_pylist() == ["a"]


def test_unknown_database_is_refused_at_once(site: Site) -> None:
    with pytest.raises(DatabaseNotFound):
        site.queries.submit("nope", "SELECT 1")


def test_show_tables_lists_tables_of_the_database_and_the_system(site: Site) -> None:
    names = site.queries.run("db", "SHOW TABLES").column("table_name").to_pylist()

    assert names == [
        *("Größe.1", "cpu"),
        *("distinct_caches", "influxdb_schema", "last_caches", "parquet_files"),
        *("processing_engine_environments", "processing_engine_logs"),
        "processing_engine_trigger_arguments",
        *("processing_engine_triggers", "queries"),
        *("tables", "views", "columns", "df_settings", "schemata", "routines", "parameters"),
    ]


def test_rows_older_than_the_retention_period_are_not_seen(site: Site) -> None:
    site.catalog.update(lambda _: [CreateDatabase(9, "short", 1000)])
    site.catalog.update(lambda _: [CreateTable(10, 9, "t", ())])
    for age in (1001, 1000, 1):
        site.write(10, NOW - age, usage=1.0)

    assert site.column("SELECT count(*) FROM t", "short") == [2]
    site.clock.advance(1e-7)
    assert site.column("SELECT count(*) FROM t", "short") == [1]


def test_queries_are_listed_with_their_outcome(site: Site) -> None:
    with pytest.raises(QueryRejected):
        site.queries.run("db", "SELECT nope")

    sql = "SELECT phase, success, running, query_text FROM system.queries"
    rows = site.queries.run("db", sql).to_pylist()

    assert [tuple(row.values()) for row in rows] == [
        ("fail", False, False, "SELECT nope"),
        ("execution_permit", False, True, sql),
    ]
    assert site.queries.run("_internal", sql).num_rows == 1


def test_query_beyond_the_bound_is_refused_and_room_comes_back(site: Site) -> None:
    go = threading.Event()

    def wait_for_go(_catalog: Catalog, _database: Database) -> pa.Table:
        go.wait(10)
        return pa.table({"a": [1]})

    site.system.register("slow", wait_for_go)
    running = [site.queries.submit("db", "SELECT a FROM system.slow") for _ in range(3)]

    with pytest.raises(Busy, match="3 queries are waiting already"):
        site.queries.submit("db", "SELECT 1")

    go.set()
    assert [future.result(10).num_rows for future in running] == [1, 1, 1]
    assert site.column("SELECT 1") == [1]


def test_stop_drops_what_waits_and_refuses_what_comes(site: Site) -> None:
    go = threading.Event()
    taken = threading.Semaphore(0)

    def wait_for_go(_catalog: Catalog, _database: Database) -> pa.Table:
        taken.release()
        go.wait(10)
        return pa.table({"a": [1]})

    site.system.register("slow", wait_for_go)
    futures = [site.queries.submit("db", "SELECT a FROM system.slow") for _ in range(3)]
    for _ in range(2):
        taken.acquire(timeout=10)

    assert site.queries.stop(timeout_s=0.01) is False
    go.set()
    assert site.queries.stop() is True
    assert [future.cancelled() for future in futures] == [False, False, True]
    with pytest.raises(Stopping):
        site.queries.submit("db", "SELECT 1")


def test_repr_is_a_sentence_of_the_state(site: Site) -> None:
    assert repr(site.queries) == "<QueryService: 0 queries pending>"
    site.queries.stop()
    assert repr(site.queries) == "<QueryService: stopped>"
