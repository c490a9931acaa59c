"""What each change does to a catalog, and which changes make a catalog.

Pure; may be called from any thread.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import assert_never

from engine.catalog.change import (
    AddColumns,
    AddFiles,
    AddLock,
    Change,
    ConfineTrigger,
    CreateDatabase,
    CreateTable,
    CreateTrigger,
    DeleteTrigger,
    DisableTrigger,
    EnableTrigger,
    FileChange,
    PinEnvironment,
    PurgeDatabase,
    PurgeTable,
    ReplaceFiles,
    RequireTrigger,
    SchemaChange,
    SetPersisted,
    SetRetention,
    TrashChange,
    TrashDatabase,
    TrashTable,
    UnpinEnvironment,
)
from engine.catalog.consistency import free_id, live_database, require
from engine.catalog.parts import Database, Table, Trashed
from engine.catalog.pin_fold import change_pins, pins_of
from engine.catalog.state import INTERNAL_DATABASE_ID, Catalog
from engine.catalog.trigger_fold import change_trigger
from engine.errors import InconsistentChange
from engine.model.file import ParquetFile
from engine.model.schema import Column, TableSchema
from engine.model.trigger import Trigger

__all__ = ["apply", "apply_all", "changes_of"]


def apply(catalog: Catalog, change: Change) -> Catalog:
    """Return the catalog after a change; the commit number stays.

    Raises:
        InconsistentChange: the change names what is not there, or creates what is.
    """
    match change:
        case CreateDatabase() | SetRetention() | CreateTable() | AddColumns():
            return _change_schema(catalog, change)
        case CreateTrigger() | EnableTrigger() | DisableTrigger():
            return change_trigger(catalog, change)
        case ConfineTrigger() | RequireTrigger() | DeleteTrigger():
            return change_trigger(catalog, change)
        case AddLock() | PinEnvironment() | UnpinEnvironment():
            return change_pins(catalog, change)
        case AddFiles() | ReplaceFiles() | SetPersisted():
            return _change_files(catalog, change)
        case TrashDatabase() | TrashTable() | PurgeDatabase() | PurgeTable():
            return _change_trash(catalog, change)
        case _:
            assert_never(change)


def apply_all(catalog: Catalog, changes: Iterable[Change], number: int) -> Catalog:
    """Return the catalog after a commit of that number.

    Raises:
        InconsistentChange: as `apply`.
    """
    for change in changes:
        catalog = apply(catalog, change)
    return replace(catalog, number=number)


def changes_of(catalog: Catalog) -> Iterator[Change]:
    """Yield changes that make the objects of a catalog out of an empty one.

    First what creates something, ids ascending, under the names that it has now, be it in the
    trash; then locks and pins; then the period of the internal database, which nothing creates;
    then the files; then the trash, tables before the databases that held them.
    """
    trashed = catalog.trash.values()
    databases = [*catalog.databases.values()]
    databases += [t.object for t in trashed if isinstance(t.object, Database)]
    tables = [table for database in databases for table in database.tables.values()]
    tables += [t.object for t in trashed if isinstance(t.object, Table)]
    yield from sorted(_creations(databases, tables, catalog.triggers.values()), key=_created_id)
    yield from pins_of(catalog)
    internal = catalog.database_by_id(INTERNAL_DATABASE_ID)
    if internal.retention_ns is not None:
        yield SetRetention(internal.id, internal.retention_ns)
    for table in tables:
        if table.files or table.persisted_to:
            yield AddFiles(table.id, table.files, table.persisted_to)
    yield SetPersisted(catalog.persisted_to)
    for item in sorted(trashed, key=lambda item: isinstance(item.object, Database)):
        kind = TrashDatabase if isinstance(item.object, Database) else TrashTable
        yield kind(item.object.id, item.name, item.original, item.hard_delete_ns)


def _creations(
    databases: Iterable[Database], tables: Iterable[Table], triggers: Iterable[Trigger]
) -> Iterator[CreateDatabase | CreateTable | CreateTrigger]:
    for database in databases:
        if database.id != INTERNAL_DATABASE_ID:
            yield CreateDatabase(database.id, database.name, database.retention_ns)
    for table in tables:
        yield CreateTable(table.id, table.database_id, table.name, table.schema.columns)
    for trigger in triggers:
        yield CreateTrigger(trigger)


def _created_id(change: CreateDatabase | CreateTable | CreateTrigger) -> int:
    return change.trigger.id if isinstance(change, CreateTrigger) else change.id


def _change_schema(catalog: Catalog, change: SchemaChange) -> Catalog:
    match change:
        case CreateDatabase(id_, name, retention_ns):
            free_id(catalog, id_)
            is_free = name not in catalog.databases and catalog.trashed_named(name) is None
            require(is_free, f"database {name!r} exists")
            return catalog.with_database(Database(id_, name, retention_ns))
        case SetRetention(database_id, retention_ns):
            database = live_database(catalog, database_id)
            return catalog.with_database(replace(database, retention_ns=retention_ns))
        case CreateTable():
            return _create_table(catalog, change)
        case AddColumns(table_id, columns):
            table = _table(catalog, table_id)
            grown = replace(table, schema=_grown(table.schema, columns))
            return catalog.with_changed_table(grown)
        case _:
            assert_never(change)


def _create_table(catalog: Catalog, change: CreateTable) -> Catalog:
    free_id(catalog, change.id)
    database = live_database(catalog, change.database_id)
    is_free = catalog.trashed_named(change.name, database.id) is None
    require(is_free and change.name not in database.tables, f"table {change.name!r} exists")
    schema = _grown(TableSchema(), change.columns)
    return catalog.with_table(database, Table(change.id, database.id, change.name, schema))


def _change_files(catalog: Catalog, change: FileChange) -> Catalog:
    match change:
        case AddFiles(table_id, files, persisted_to):
            table = _table(catalog, table_id)
            is_later = persisted_to >= table.persisted_to
            require(is_later, f"table {table_id} is persisted beyond {persisted_to}")
            grown = _with_files(table, table.files, files)
            return catalog.with_changed_table(replace(grown, persisted_to=persisted_to))
        case ReplaceFiles(table_id, removed, added):
            table = _table(catalog, table_id)
            gone = frozenset(removed)
            kept = tuple(file for file in table.files if file.path not in gone)
            require(len(kept) + len(removed) == len(table.files), f"not all there: {removed}")
            return catalog.with_changed_table(_with_files(table, kept, added))
        case SetPersisted(to):
            require(to >= catalog.persisted_to, f"the catalog is persisted beyond {to}")
            return replace(catalog, persisted_to=to)
        case _:
            assert_never(change)


def _with_files(table: Table, kept: tuple[ParquetFile, ...], added: Sequence[ParquetFile]) -> Table:
    files = sorted((*kept, *added), key=lambda file: (file.order, file.min_ns))
    is_unique = not added or len({file.path for file in files}) == len(files)
    require(is_unique, f"table {table.id} has one of these files already")
    return replace(table, files=tuple(files))


def _change_trash(catalog: Catalog, change: TrashChange) -> Catalog:
    match change:
        case TrashDatabase() | TrashTable() if change.id in catalog.trash:
            return _postpone(catalog, change)
        case TrashDatabase():
            return _trash_database(catalog, change)
        case TrashTable():
            return _trash_table(catalog, change)
        case PurgeDatabase(id_):
            trashed = _trashed(catalog, id_, Database)
            return catalog.without_trashed(
                {n for n, t in catalog.trash.items() if t.database_id == trashed.object.id}
            )
        case PurgeTable(id_):
            return catalog.without_trashed({_trashed(catalog, id_, Table).object.id})
        case _:
            assert_never(change)


def _postpone(catalog: Catalog, change: TrashDatabase | TrashTable) -> Catalog:
    kind = Database if isinstance(change, TrashDatabase) else Table
    trashed = _trashed(catalog, change.id, kind)
    require(change.name == trashed.name, f"{trashed.name!r} is in the trash under that name")
    later = replace(trashed, hard_delete_ns=change.hard_delete_ns)
    return replace(catalog, trash={**catalog.trash, change.id: later})


def _trash_database(catalog: Catalog, change: TrashDatabase) -> Catalog:
    database = live_database(catalog, change.id)
    require(database.id != INTERNAL_DATABASE_ID, "the internal database stays")
    require(not catalog.triggers_of(database.id), f"database {database.name!r} has triggers")
    is_free = catalog.trashed_named(change.name) is None and (
        change.name == database.name or change.name not in catalog.databases
    )
    require(is_free, f"database {change.name!r} exists")
    renamed = replace(database, name=change.name)
    trashed = Trashed(renamed, change.original, change.hard_delete_ns)
    return catalog.with_trashed_database(trashed, database.name)


def _trash_table(catalog: Catalog, change: TrashTable) -> Catalog:
    table = _table(catalog, change.id)
    database = live_database(catalog, table.database_id)
    is_free = catalog.trashed_named(change.name, database.id) is None and (
        change.name == table.name or change.name not in database.tables
    )
    require(is_free, f"table {change.name!r} exists")
    renamed = replace(table, name=change.name)
    trashed = Trashed(renamed, change.original, change.hard_delete_ns)
    return catalog.with_trashed_table(trashed, database, table.name)


def _grown(schema: TableSchema, columns: tuple[Column, ...]) -> TableSchema:
    names = [column.name for column in columns]
    is_new = len(set(names)) == len(names) and all(schema.type_of(n) is None for n in names)
    require(is_new, f"columns {names} exist already or stand twice")
    return schema.with_columns(columns)


def _table(catalog: Catalog, table_id: int) -> Table:
    table = catalog.table_by_id(table_id)
    if table is None:
        raise InconsistentChange(f"no table has id {table_id}")
    return table


def _trashed(catalog: Catalog, trashed_id: int, kind: type[Database | Table]) -> Trashed:
    trashed = catalog.trash.get(trashed_id)
    if trashed is None or not isinstance(trashed.object, kind):
        raise InconsistentChange(f"no {kind.__name__.lower()} in the trash has id {trashed_id}")
    return trashed
