"""A node's folder with catalog, buffer and files, and rows that go through all of them."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from engine.catalog.commands import create_database
from engine.catalog.missing import create_missing
from engine.catalog.objects import LocalObjects
from engine.catalog.state import Table
from engine.catalog.store import CatalogStore
from engine.clock import ManualClock
from engine.config import StorageConfig
from engine.model.entry import Client, TableRows, WriteEntry
from engine.model.schema import TIME, Column, ColumnType
from engine.storage.buffer import HotBuffer
from engine.storage.files import Files
from engine.storage.parquet import read_file
from engine.upkeep.compactor import Compactor
from engine.upkeep.persister import Persister
from engine.upkeep.quiet import Quiet
from engine.upkeep.retention import Retention

COLUMNS = (
    Column("host", ColumnType.TAG),
    Column("usage", ColumnType.FLOAT),
    Column("note", ColumnType.STRING),
)
TYPES = {**{column.name: column.type for column in COLUMNS}, TIME: ColumnType.TIME}
Row = dict[str, object]
Points = dict[tuple[object, object], Row]


def batch(rows: list[Row]) -> pa.RecordBatch:
    names = [name for name in TYPES if any(row.get(name) is not None for row in rows)]
    schema = pa.schema([pa.field(name, TYPES[name].arrow) for name in names])
    return pa.RecordBatch.from_pylist(rows, schema=schema)


def merge_into(points: Points, rows: list[Row]) -> None:
    """Do by hand what storage promises: each field has its last value that is not null."""
    for row in rows:
        given = {name: value for name, value in row.items() if value is not None}
        point = (row.get("host"), row[TIME])
        points[point] = {**points.get(point, {}), **given}


class Site:
    """Everything below one folder; `write` goes to memory as the log's committer would."""

    def __init__(self, root: Path, config: StorageConfig | None = None) -> None:
        self.root = root
        self.clock = ManualClock(1_700_000_000 * 10**9)
        self.catalog = CatalogStore.open(LocalObjects(root))
        self.buffer = HotBuffer(self.clock.monotonic_s)
        self.files = Files(root)
        self.quiet = Quiet()
        self.persisted = 0
        self.persister = Persister(
            self.catalog,
            self.buffer,
            self.files,
            self.clock,
            config or StorageConfig(),
            quiet=self.quiet,
            on_persisted=self._count,
        )
        self.compactor = Compactor(self.catalog, self.files, self.clock, quiet=self.quiet)
        self.retention = Retention(
            self.catalog, self.buffer, self.files, self.clock, 1800.0, quiet=self.quiet
        )

    def create(self, *tables: str, retention_ns: int | None = None) -> None:
        self.catalog.update(create_database("db", retention_ns))
        missing = dict.fromkeys(tables, COLUMNS)
        self.catalog.update(lambda catalog: create_missing(catalog, "db", missing))

    def table(self, name: str = "cpu") -> Table:
        return self.catalog.catalog.database("db").tables[name]

    def write(self, rows: list[Row], name: str = "cpu") -> None:
        table = self.table(name)
        part = TableRows(table.database_id, table.id, batch(rows))
        entry = WriteEntry(Client(), table.database_id, (), None, (part,))
        self.buffer.append(self.buffer.end, [entry])

    def points(self, name: str = "cpu") -> Points:
        """Read as a query does: files in order of age, then memory."""
        table = self.table(name)
        points: Points = {}
        for file in sorted(table.files, key=lambda file: file.order):
            merge_into(points, plain(read_file(self.root, file)))
        for rows in self.buffer.snapshot(table.id, table.schema).batches:
            merge_into(points, plain(pa.Table.from_batches([rows])))
        return points

    def paths_on_disk(self) -> set[str]:
        found = (self.root / "parquet").rglob("*")
        return {str(path.relative_to(self.root)) for path in found if path.is_file()}

    def _count(self) -> None:
        self.persisted += 1


def plain(table: pa.Table) -> list[Row]:
    place = table.schema.get_field_index(TIME)
    return table.set_column(place, TIME, table[TIME].cast(pa.int64())).to_pylist()
