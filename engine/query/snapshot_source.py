"""Takes snapshots: what is in memory and which files there are, so that together no row is missing.

Rows go from memory into files while queries run: first the files are written, then the catalog
names them, then memory lets the rows go. So memory is looked at first and the catalog after it: a
row that memory has let go stands in a file that this catalog names. A row that is in both is
merged with itself, which is right but dear; therefore it is looked again when memory and catalog
do not tell of the same moment.

Files are kept in place while they may be read. One that was replaced before that is gone, so the
catalog must still name all of them afterwards. And no table may have grown a column meanwhile: rows
with different values of a new tag would be taken for one point.

Threads: any; what is taken are values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial

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
_Tables = Mapping[int, Table]


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
        ids = [table.id for table in tables]
        while True:
            looked, buffered = self._look(ids)
            with self._pinned(ids) as now:
                if all(id_ not in now or _is_same(now[id_], t) for id_, t in looked.items()):
                    yield partial(self._shown, catalog, now, buffered)
                    return

    def _shown(
        self, catalog: Catalog, now: _Tables, buffered: Mapping[int, Buffered], table: Table
    ) -> TableSnapshot:
        known = now.get(table.id)
        if known is None:
            return TableSnapshot(table.schema.arrow)
        return TableSnapshot(
            known.schema.arrow,
            buffered[table.id].batches,
            known.files if self._files else (),
            str(self._files.root) if self._files else "",
            self._oldest_ns(catalog.database_by_id(table.database_id)),
        )

    def _look(self, ids: Sequence[int]) -> tuple[_Tables, dict[int, Buffered]]:
        """Look at memory, then at the catalog, until they tell of the same moment, or nearly."""
        for _ in range(_LOOKS):
            looked = _tables(ids, self._catalog.catalog)
            buffered = {id_: self._buffer.snapshot(id_, t.schema) for id_, t in looked.items()}
            now = _tables(ids, self._catalog.catalog)
            if all(id_ not in now or _agree(now[id_], rows) for id_, rows in buffered.items()):
                break
        return looked, buffered

    @contextmanager
    def _pinned(self, ids: Sequence[int]) -> Iterator[_Tables]:
        """Return tables as they are now, and keep their files in place."""
        now = _tables(ids, self._catalog.catalog)
        if self._files is None:
            yield now
            return
        while True:
            before = now
            with self._files.pin([file.path for t in before.values() for file in t.files]):
                now = _tables(ids, self._catalog.catalog)
                if _files_of(now) == _files_of(before):
                    yield now
                    return

    def _oldest_ns(self, database: Database) -> int | None:
        if database.retention_ns is None:
            return None
        return self._clock.now_ns() - database.retention_ns


def _agree(table: Table, rows: Buffered) -> bool:
    return table.persisted_to <= rows.start


def _is_same(now: Table, before: Table) -> bool:
    return now.schema == before.schema


def _tables(ids: Sequence[int], catalog: Catalog) -> _Tables:
    """Return tables by id, without those that are gone for good."""
    found = ((id_, catalog.table_by_id(id_)) for id_ in ids)
    return {id_: table for id_, table in found if table is not None}


def _files_of(tables: _Tables) -> Mapping[int, tuple[ParquetFile, ...]]:
    return {id_: table.files for id_, table in tables.items()}
