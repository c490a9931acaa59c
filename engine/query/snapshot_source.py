"""Takes snapshots: what is in memory and which files there are, so that together no row is missing.

Rows go from memory into files while queries run: first the files are written, then the catalog
names them, then memory lets the rows go. So memory is looked at first and the catalog after it: a
row that memory has let go stands in a file that this catalog names. A row that is in both is
merged with itself, which is right but dear; therefore it is looked again when memory and catalog
do not tell of the same moment.

Files are kept in place while they may be read. One that was replaced before that is gone, so the
catalog must still name all of them afterwards.

Threads: any; what is taken are values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import pyarrow as pa

from engine.catalog.state import Catalog, Database, Table
from engine.catalog.store import CatalogStore
from engine.clock import Clock
from engine.model.file import ParquetFile
from engine.model.names import INTERNAL_DATABASE
from engine.query.mentions import Mentions
from engine.query.snapshot import QuerySnapshot, SystemView, TableSnapshot
from engine.query.system_tables import SystemTables
from engine.storage.buffer import Buffered, HotBuffer
from engine.storage.files import Files

__all__ = ["SnapshotSource"]

_LOOKS = 3  # at memory and catalog until they agree
_FilesOf = Mapping[int, tuple[ParquetFile, ...]]


class SnapshotSource:
    """Snapshots of what statements may read.

    Args:
        catalog: the tables.
        buffer: their rows in memory.
        system: the system tables.
        clock: says which rows are past their retention period.
        files: their rows on disk; without it there are none.
    """

    def __init__(
        self,
        catalog: CatalogStore,
        buffer: HotBuffer,
        system: SystemTables,
        clock: Clock,
        files: Files | None = None,
    ) -> None:
        self._catalog = catalog
        self._buffer = buffer
        self._system = system
        self._clock = clock
        self._files = files

    @contextmanager
    def take(self, name: str, sql: Mentions) -> Iterator[QuerySnapshot]:
        """Return what a statement may read; its files stay in place until the end.

        Args:
            name: of the database that is asked.
            sql: the statement.

        Raises:
            DatabaseNotFound: there is no such database.
        """
        catalog = self._catalog.catalog
        database, internal = catalog.database(name), catalog.database(INTERNAL_DATABASE)
        tables, views = database.tables, self._system.views(sql)
        views = {n: view for n, view in views.items() if view.table in internal.tables}
        read = [tables[mentioned] for mentioned in sql.of(tables)]
        read += [internal.tables[views[mentioned].table] for mentioned in sql.of(views)]
        with self._rows(catalog, read) as rows:
            listed = tables if sql.lists_catalog else [table.name for table in read]
            system: dict[str, pa.Table | SystemView] = {}
            system.update(self._system.tables(catalog, database, sql))
            for shown, view in views.items():
                stored = rows(internal.tables[view.table])
                owner = None if name == INTERNAL_DATABASE else name
                system[shown] = SystemView(stored, view.columns, owner)
            found = {n: rows(tables[n]) for n in listed if n in tables}
            yield QuerySnapshot(name, found, system)

    @contextmanager
    def _rows(
        self, catalog: Catalog, tables: Sequence[Table]
    ) -> Iterator[Callable[[Table], TableSnapshot]]:
        """Return the rows of some tables; others seem to have none."""
        buffered, after = self._look(tables)
        with self._pinned(tables, after) as named:

            def rows(table: Table) -> TableSnapshot:
                if table.id not in buffered:
                    return TableSnapshot(table.schema.arrow)
                return TableSnapshot(
                    table.schema.arrow,
                    buffered[table.id].batches,
                    named[table.id],
                    str(self._files.root) if self._files else "",
                    self._oldest_ns(catalog.database_by_id(table.database_id)),
                )

            yield rows

    def _look(self, tables: Sequence[Table]) -> tuple[dict[int, Buffered], Catalog]:
        """Look at memory, then at the catalog, until they tell of the same moment, or nearly."""
        for _ in range(_LOOKS):
            buffered = {t.id: self._buffer.snapshot(t.id, t.schema) for t in tables}
            catalog = self._catalog.catalog
            if all(_agree(catalog.table_by_id(id_), rows) for id_, rows in buffered.items()):
                break
        return buffered, catalog

    @contextmanager
    def _pinned(self, tables: Sequence[Table], catalog: Catalog) -> Iterator[_FilesOf]:
        """Keep the files of tables in place, those of a newer catalog when some are gone."""
        if self._files is None:
            yield {table.id: () for table in tables}
            return
        while True:
            named = _files_of(tables, catalog)
            with self._files.pin([file.path for files in named.values() for file in files]):
                catalog = self._catalog.catalog
                if _files_of(tables, catalog) == named:
                    yield named
                    return

    def _oldest_ns(self, database: Database) -> int | None:
        if database.retention_ns is None:
            return None
        return self._clock.now_ns() - database.retention_ns


def _agree(table: Table | None, rows: Buffered) -> bool:
    return table is None or table.persisted_to <= rows.start


def _files_of(tables: Sequence[Table], catalog: Catalog) -> _FilesOf:
    found = {table.id: catalog.table_by_id(table.id) for table in tables}
    return {id_: () if table is None else table.files for id_, table in found.items()}
