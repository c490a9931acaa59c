"""What a write needs and the catalog lacks: a database, tables, columns.

A writer decides under the lock of the store:

    store.update(lambda catalog: create_missing(catalog, "db", {"cpu": columns}))

where it derives the columns from that same catalog. Because another write may have come first,
columns that exist with the same type are passed over.
Pure; may be called from any thread.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from engine.catalog.change import AddColumns, Change, CreateDatabase, CreateTable
from engine.catalog.state import Catalog, Table
from engine.errors import (
    AlreadyDeleted,
    DatabaseNotFound,
    InternalDatabase,
    InvalidParameter,
    LimitExceeded,
    SoftDeletedDatabase,
)
from engine.model.names import INTERNAL_DATABASE
from engine.model.schema import TIME, Column, TableSchema

__all__ = [
    "DEFAULT_LIMITS",
    "RESERVED_COLUMNS",
    "CatalogLimits",
    "column_limit_text",
    "create_missing",
    "table_limit_text",
]

RESERVED_COLUMNS = frozenset({TIME, "__chunk_order"})


@dataclass(frozen=True, slots=True)
class CatalogLimits:
    """How large schemas may grow.

    Args:
        max_tables: over all databases.
        max_columns: tags and fields of one table; `time` does not count.
    """

    max_tables: int = 2000  # both as InfluxDB 3 Core
    max_columns: int = 500


DEFAULT_LIMITS = CatalogLimits()


def table_limit_text(count: int, limits: CatalogLimits) -> str:
    """Word the refusal of a table when there are `count` already."""
    return (
        "Update to schema would exceed number of tables limit: "
        f"attempted to create table but already have {count} table(s) "
        f"(limit: {limits.max_tables})"
    )


def column_limit_text(limits: CatalogLimits) -> str:
    """Word the refusal of a column."""
    return (
        "Update to schema would exceed number of columns per table limit "
        f"of {limits.max_columns} columns"
    )


def create_missing(
    catalog: Catalog,
    database_name: str,
    tables: Mapping[str, Sequence[Column]],
    limits: CatalogLimits = DEFAULT_LIMITS,
    *,
    known_id: int | None = None,
) -> list[Change]:
    """Return the changes after which a database has tables with given columns.

    Args:
        catalog: the newest.
        database_name: created when there is none; the caller has checked the name.
        tables: by name the columns that the table must have, of which some may exist; a table
            without any is created empty.
        limits: how large schemas may grow.
        known_id: of the database, which then is not created.

    Returns:
        Empty when nothing is missing.

    Raises:
        LimitExceeded: too many tables, or columns in one table.
        InvalidParameter: a column has another type already, or its name is reserved.
        InternalDatabase: nobody writes there.
        SoftDeletedDatabase, AlreadyDeleted: it is the name of a database or table in the trash.
        DatabaseNotFound: the known one was deleted, also if another has its name now.
    """
    if database_name == INTERNAL_DATABASE:
        raise InternalDatabase
    database = catalog.databases.get(database_name)
    if known_id is not None and (database is None or database.id != known_id):
        raise DatabaseNotFound(database_name)
    _refuse_deleted(catalog, database_name, tables)
    changes: list[Change] = []
    next_id = catalog.next_id
    if database is None:
        changes.append(CreateDatabase(next_id, database_name))
        next_id += 1
    database_id = next_id - 1 if database is None else database.id
    existing: Mapping[str, Table] = {} if database is None else database.tables
    table_count = catalog.table_count
    for name, columns in tables.items():
        if name in existing:
            changes.extend(_added_columns(existing[name], columns, limits))
            continue
        if table_count >= limits.max_tables:
            raise LimitExceeded(table_limit_text(table_count, limits))
        new = _new_columns(TableSchema(), columns, limits)
        changes.append(CreateTable(next_id, database_id, name, new))
        next_id += 1
        table_count += 1
    return changes


def _refuse_deleted(catalog: Catalog, database_name: str, tables: Iterable[str]) -> None:
    database = catalog.databases.get(database_name)
    if database is None:
        if catalog.trashed_named(database_name) is not None:
            raise SoftDeletedDatabase(database_name)
        return
    for name in tables:
        if name not in database.tables and catalog.trashed_named(name, database.id) is not None:
            raise AlreadyDeleted(name)


def _added_columns(
    table: Table, columns: Sequence[Column], limits: CatalogLimits
) -> list[AddColumns]:
    new = _new_columns(table.schema, columns, limits)
    return [AddColumns(table.id, new)] if new else []


def _new_columns(
    schema: TableSchema, columns: Sequence[Column], limits: CatalogLimits
) -> tuple[Column, ...]:
    new: dict[str, Column] = {}
    for column in columns:
        if column.name in RESERVED_COLUMNS:
            raise InvalidParameter(f"'{column.name}' is a reserved column")
        known = new[column.name].type if column.name in new else schema.type_of(column.name)
        if known is None:
            new[column.name] = column
        elif known is not column.type:
            raise InvalidParameter(
                f"invalid column type for column '{column.name}', "
                f"expected {known.value}, got {column.type.value}"
            )
    if len(schema.columns) + len(new) > limits.max_columns:
        raise LimitExceeded(column_limit_text(limits))
    return tuple(new.values())
