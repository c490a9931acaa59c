"""The tables of the schema `system`, computed when a query names them.

A provider is a function of the catalog and the database that is asked; it returns the whole table
and filters nothing. Parts of the server that this package must not know (plugin files, runs,
caches) register their own when the server is put together.

Threads: `register` before the first query, `tables` from any thread; providers must allow that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from engine.catalog.state import Catalog, Database
from engine.logs import LogRing
from engine.model.names import INTERNAL_DATABASE
from engine.model.schema import TIME, ColumnType
from engine.query.catalog_tables import database_table, file_table, table_table
from engine.query.environment_table import Kept, environment_table
from engine.query.mentions import Mentions
from engine.query.server_tables import GENERATIONS, TOKENS, node_table
from engine.query.trigger_tables import trigger_table

__all__ = ["Provider", "StoredView", "SystemTables"]

Provider = Callable[[Catalog, Database], pa.Table]


@dataclass(frozen=True, slots=True)
class StoredView:
    """A system table that shows rows of a table of `_internal`: each database sees its own.

    Args:
        table: name of the stored table, which has a column `database`.
        columns: name stored by name shown, in the order in which they are shown.
    """

    table: str
    columns: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Registered:
    provider: Provider
    internal_only: bool


class SystemTables:
    """All system tables by name."""

    def __init__(self, logs: LogRing) -> None:
        self._registered: dict[str, _Registered] = {}
        self._views: dict[str, StoredView] = {}
        self.register("processing_engine_triggers", trigger_table(dict))
        self.register("processing_engine_trigger_arguments", _arguments)
        self.register("processing_engine_logs", lambda _catalog, _database: _logs(logs))
        self.register("processing_engine_environments", environment_table(tuple, _nothing_kept))
        self.register("influxdb_schema", _columns)
        self.register("last_caches", _empty(_LAST_CACHES))
        self.register("distinct_caches", _empty(_DISTINCT_CACHES))
        self.register("parquet_files", file_table)
        self.register("databases", database_table, internal_only=True)
        self.register("tables", table_table, internal_only=True)
        self.register("nodes", node_table(None), internal_only=True)
        for name, schema in (("tokens", TOKENS), ("generation_durations", GENERATIONS)):
            self.register(name, _empty(schema), internal_only=True)

    def register(self, name: str, provider: Provider, *, internal_only: bool = False) -> None:
        """Add a table, or replace one.

        Args:
            name: lower case, without the schema.
            provider: called for each query that names the table, from any thread.
            internal_only: whether only the `_internal` database has it.
        """
        self._registered[name] = _Registered(provider, internal_only)

    def register_view(self, name: str, table: str, columns: Mapping[str, str]) -> None:
        """Add a system table over a table of `_internal`; see `StoredView`.

        Args:
            name: lower case, without the schema.
            table: name of the stored table; while it is not there, the view is not either.
            columns: name stored by name shown.
        """
        self._views[name] = StoredView(table, columns)

    def views(self, sql: Mentions) -> dict[str, StoredView]:
        """Return the views that a statement may read, or all when it lists tables."""
        names = self._views if sql.lists_catalog else sql.of(self._views)
        return {name: self._views[name] for name in names}

    def tables(self, catalog: Catalog, database: Database, sql: Mentions) -> dict[str, pa.Table]:
        """Return the tables that a statement may read, or all when it lists tables."""
        is_internal = database.name == INTERNAL_DATABASE
        visible = {
            name: entry.provider
            for name, entry in self._registered.items()
            if is_internal or not entry.internal_only
        }
        names = list(visible) if sql.lists_catalog else sql.of(visible)
        return {name: visible[name](catalog, database) for name in names}


def _needed(name: str, of: pa.DataType) -> pa.Field:
    return pa.field(name, of, nullable=False)


_TEXT, _COUNT = pa.utf8(), pa.uint64()
_VIEW, _VIEWS, _IDS = pa.string_view(), pa.list_(pa.string_view()), pa.list_(pa.uint16())

_ARGUMENTS = pa.schema(
    [
        _needed("trigger_name", _TEXT),
        _needed("argument_key", _TEXT),
        _needed("argument_value", _TEXT),
    ]
)
_LOGS = pa.schema(
    [
        _needed("event_time", pa.timestamp("ns")),
        _needed("trigger_name", _TEXT),
        _needed("log_level", _TEXT),
        _needed("log_text", _TEXT),
        _needed("run_id", _TEXT),
    ]
)
_COLUMNS = pa.schema(
    [_needed("measurement", _VIEW), _needed("key", _VIEW), _needed("data_type", _VIEW)]
)
_LAST_CACHES = pa.schema(
    [
        _needed("table", _VIEW),
        _needed("name", _VIEW),
        _needed("key_column_ids", _IDS),
        _needed("key_column_names", _VIEWS),
        pa.field("value_column_ids", _IDS),
        pa.field("value_column_names", _VIEWS),
        _needed("count", _COUNT),
        _needed("ttl", _COUNT),
    ]
)
_DISTINCT_CACHES = pa.schema(
    [
        _needed("table", _VIEW),
        _needed("name", _VIEW),
        _needed("column_ids", _IDS),
        _needed("column_names", _VIEWS),
        _needed("max_cardinality", _COUNT),
        _needed("max_age_seconds", _COUNT),
    ]
)
_KINDS = {
    ColumnType.TAG: "tag",
    ColumnType.FLOAT: "float",
    ColumnType.INTEGER: "integer",
    ColumnType.UINTEGER: "uinteger",
    ColumnType.STRING: "string",
    ColumnType.BOOLEAN: "boolean",
    ColumnType.TIME: "time",
}


def _nothing_kept(_lock_id: str) -> Kept:
    return Kept()


def _empty(schema: pa.Schema) -> Provider:
    return lambda _catalog, _database: schema.empty_table()


def _arguments(catalog: Catalog, database: Database) -> pa.Table:
    rows = [
        (trigger.name, key, value)
        for trigger in catalog.triggers_of(database.id)
        for key, value in (trigger.arguments or {}).items()
    ]
    return _table(_ARGUMENTS, rows)


def _logs(logs: LogRing) -> pa.Table:
    columns = logs.rows()
    arrays = [pa.array(c, f.type) for c, f in zip(columns, _LOGS, strict=True)]
    return pa.Table.from_arrays(arrays, schema=_LOGS)


def _columns(_catalog: Catalog, database: Database) -> pa.Table:
    rows = []
    for name, table in sorted(database.tables.items()):
        types = {TIME: ColumnType.TIME, **{c.name: c.type for c in table.schema.columns}}
        rows += [(name, column, _KINDS[types[column]]) for column in sorted(types)]
    return _table(_COLUMNS, rows)


def _table(schema: pa.Schema, rows: Sequence[tuple[object, ...]]) -> pa.Table:
    columns = zip(*rows, strict=True) if rows else [()] * len(schema)
    arrays = [pa.array(c, f.type) for c, f in zip(columns, schema, strict=True)]
    return pa.Table.from_arrays(arrays, schema=schema)
