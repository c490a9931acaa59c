"""The query service over a real catalog, hot buffer and files, while rows move between them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from engine.catalog.change import AddColumns, AddFiles, CreateDatabase, CreateTable, TrashTable
from engine.catalog.filing import add_files, replace_files
from engine.catalog.objects import LocalObjects
from engine.catalog.store import CatalogStore
from engine.clock import ManualClock
from engine.errors import DamagedFile
from engine.logs import LogRing
from engine.model.entry import Client, TableRows, WriteEntry
from engine.model.file import ParquetFile
from engine.model.schema import Column, ColumnType, TableSchema
from engine.query.system_tables import SystemTables
from engine.query.tables import QueryService
from engine.storage.buffer import Buffered, HotBuffer
from engine.storage.files import Files
from engine.storage.parquet import new_path, write_file

NOW = 1_700_000_000 * 10**9
DB, CPU, MEM = 1, 2, 3


class Site:
    """A query service over what a server has."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.catalog = CatalogStore.open(LocalObjects(root))
        columns = (Column("host", ColumnType.TAG), Column("usage", ColumnType.FLOAT))
        changes = [
            CreateDatabase(DB, "db"),
            CreateTable(CPU, DB, "cpu", columns),
            CreateTable(MEM, DB, "mem", columns),
        ]
        self.catalog.update(lambda _: changes)
        self.buffer, self.files = HotBuffer(), Files(root)
        clock, system = ManualClock(NOW), SystemTables(LogRing())
        self.queries = QueryService(
            self.catalog, self.buffer, system, clock=clock, files=self.files
        )

    def write(self, table_id: int, *ages: int) -> None:
        rows = TableRows(DB, table_id, self.rows(*ages))
        self.buffer.append(self.buffer.end, [WriteEntry(Client(), DB, (), None, (rows,))])

    def rows(self, *ages: int) -> pa.RecordBatch:
        columns = {
            "host": pa.array(["a"] * len(ages)).dictionary_encode(),
            "usage": pa.array([float(age) for age in ages]),
            "time": pa.array([NOW - age for age in ages], pa.timestamp("ns")),
        }
        return pa.RecordBatch.from_pydict(columns)

    def file(self, table_id: int, order: int, *ages: int) -> ParquetFile:
        path = new_path(DB, table_id, NOW, order)
        return write_file(self.rows(*ages), ("host",), self.root, path, order)

    def count(self, table: str = "cpu") -> int:
        return int(self.queries.run("db", f"SELECT count(*) FROM {table}").column(0)[0].as_py())  # noqa: S608


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path)
    yield site
    site.queries.stop()


def test_rows_are_counted_once_while_they_move_into_a_file(site: Site) -> None:
    site.write(CPU, 1, 2, 3)
    file = site.file(CPU, 1, 1, 2, 3)
    assert site.count() == 3

    site.catalog.update(add_files(CPU, [file], site.buffer.end))
    assert site.count() == 3

    site.buffer.drop_persisted(CPU, site.buffer.end)
    assert site.count() == 3


def test_damaged_file_leaves_other_tables_alone(site: Site) -> None:
    file = site.file(CPU, 1, 1, 2)
    site.catalog.update(lambda _: [AddFiles(CPU, (file,), 1)])
    site.write(MEM, 1)
    (site.root / file.path).write_bytes(b"PAR1")

    with pytest.raises(DamagedFile, match="is damaged"):
        site.count()

    assert site.count("mem") == 1


def test_files_and_their_number_are_listed(site: Site) -> None:
    files = [site.file(CPU, order, order) for order in (1, 2)]
    site.catalog.update(lambda _: [AddFiles(CPU, tuple(files), 1)])
    site.count()

    sql = "SELECT table_name, path, size_bytes, row_count FROM system.parquet_files ORDER BY path"
    listed = [tuple(row.values()) for row in site.queries.run("db", sql).to_pylist()]
    sql = "SELECT parquet_files FROM system.queries WHERE query_text = 'SELECT count(*) FROM cpu'"
    read = site.queries.run("db", sql).column(0).to_pylist()

    assert listed == [("cpu", file.path, file.size_bytes, 1) for file in files]
    assert read == [2]


def test_deleted_table_is_listed_and_not_queried(site: Site) -> None:
    site.catalog.update(lambda _: [TrashTable(MEM, "mem-20260101T000000", "mem", NOW)])

    sql = "SELECT table_name, deleted FROM system.tables WHERE database_name = 'db' ORDER BY 1"
    listed = [tuple(row.values()) for row in site.queries.run("_internal", sql).to_pylist()]

    assert listed == [("cpu", False), ("mem-20260101T000000", True)]


def test_tag_that_comes_while_a_query_looks_keeps_points_apart(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = site.file(CPU, 1, 5)
    site.catalog.update(lambda _: [AddFiles(CPU, (file,), 1)])
    site.write(CPU, 5)
    look = site.buffer.snapshot

    def write_first(table_id: int, schema: TableSchema) -> Buffered:
        monkeypatch.undo()
        rack = (Column("rack", ColumnType.TAG),)
        site.catalog.update(lambda _: [AddColumns(CPU, rack)])
        rows = site.rows(5).add_column(0, "rack", pa.array(["r"]).dictionary_encode())
        part = TableRows(DB, CPU, rows)
        site.buffer.append(site.buffer.end, [WriteEntry(Client(), DB, (), None, (part,))])
        return look(table_id, schema)

    monkeypatch.setattr(site.buffer, "snapshot", write_first)

    assert site.count() == 2


@pytest.mark.timeout(30)
def test_queries_see_every_row_once_while_files_come_and_go(site: Site) -> None:
    total, stop = 40, threading.Event()
    wrong: list[int] = []

    def ask() -> None:
        seen = 0
        while not stop.is_set():
            count = site.count()
            if count < seen or count > total:
                wrong.append(count)
            seen = count

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        kept: list[ParquetFile] = []
        for number in range(1, total + 1):
            site.write(CPU, number)
            end = site.buffer.end
            kept.append(site.file(CPU, number, number))
            site.catalog.update(add_files(CPU, kept[-1:], end))
            site.buffer.drop_persisted(CPU, end)
            if len(kept) > 1:
                ages = [NOW - time for file in kept for time in range(file.min_ns, file.max_ns + 1)]
                whole = site.file(CPU, number, *ages)
                paths = [file.path for file in kept]
                site.catalog.update(replace_files(CPU, paths, [whole]))
                site.files.discard(paths)
                kept = [whole]
    finally:
        stop.set()
        asking.join()

    assert wrong == []
    assert site.count() == total
