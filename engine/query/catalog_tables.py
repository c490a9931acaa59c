"""The system tables that show what the catalog holds: databases, tables and files.

What was deleted and is not yet removed is shown as such, under the name that it has now.

Pure; any thread may call the providers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import pyarrow as pa

from engine.catalog.state import Catalog, Database, Table, Trashed

__all__ = ["database_table", "file_table", "table_table"]

_SECOND_NS = 10**9


def _needed(name: str, of: pa.DataType) -> pa.Field:
    return pa.field(name, of, nullable=False)


_COUNT, _VIEW = pa.uint64(), pa.string_view()
_DELETION = (
    _needed("deleted", pa.bool_()),
    pa.field("hard_deletion_time", pa.timestamp("s", "UTC")),
)
_DATABASES = pa.schema(
    [_needed("database_name", _VIEW), pa.field("retention_period_ns", _COUNT), *_DELETION]
)
_TABLES = pa.schema(
    [
        _needed("database_name", _VIEW),
        _needed("table_name", _VIEW),
        _needed("column_count", _COUNT),
        _needed("series_key_columns", _VIEW),
        _needed("last_cache_count", _COUNT),
        _needed("distinct_cache_count", _COUNT),
        *_DELETION,
    ]
)
_FILES = pa.schema(
    [
        _needed("table_name", pa.utf8()),
        _needed("path", pa.utf8()),
        _needed("size_bytes", _COUNT),
        _needed("row_count", _COUNT),
        _needed("min_time", pa.int64()),
        _needed("max_time", pa.int64()),
    ]
)


def database_table(catalog: Catalog, _database: Database) -> pa.Table:
    """Return `system.databases`."""
    found: list[tuple[Database, Trashed | None]] = [(d, None) for d in catalog.databases.values()]
    found += [(t.object, t) for t in catalog.trash.values() if isinstance(t.object, Database)]
    found.sort(key=lambda pair: pair[0].name)
    return _table(_DATABASES, [(d.name, d.retention_ns, *_deletion(t)) for d, t in found])


def table_table(catalog: Catalog, _database: Database) -> pa.Table:
    """Return `system.tables`."""
    found = sorted(_all_tables(catalog), key=lambda each: (each[0], each[1].name))
    rows = []
    for database, table, trashed in found:
        count, key = len(table.schema.columns) + 1, ",".join(table.schema.tags)
        rows.append((database, table.name, count, key, 0, 0, *_deletion(trashed)))
    return _table(_TABLES, rows)


def file_table(_catalog: Catalog, database: Database) -> pa.Table:
    """Return `system.parquet_files` of one database."""
    return _table(
        _FILES,
        [
            (name, file.path, file.size_bytes, file.rows, file.min_ns, file.max_ns)
            for name, table in sorted(database.tables.items())
            for file in table.files
        ],
    )


def _all_tables(catalog: Catalog) -> Iterator[tuple[str, Table, Trashed | None]]:
    for database in catalog.databases.values():
        yield from ((database.name, table, None) for table in database.tables.values())
    for trashed in catalog.trash.values():
        match trashed.object:
            case Database():
                inside: Iterable[Table] = trashed.object.tables.values()
                yield from ((trashed.name, table, trashed) for table in inside)
            case Table():
                of = catalog.database_by_id(trashed.object.database_id)
                yield of.name, trashed.object, trashed


def _deletion(trashed: Trashed | None) -> tuple[bool, int | None]:
    if trashed is None:
        return False, None
    due_ns = trashed.hard_delete_ns
    return True, None if due_ns is None else due_ns // _SECOND_NS


def _table(schema: pa.Schema, rows: Sequence[tuple[object, ...]]) -> pa.Table:
    columns = zip(*rows, strict=True) if rows else [()] * len(schema)
    arrays = [pa.array(c, f.type) for c, f in zip(columns, schema, strict=True)]
    return pa.Table.from_arrays(arrays, schema=schema)
