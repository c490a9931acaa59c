"""The changes that a catalog can undergo, and what each of them does.

A commit is a sequence of changes; the catalog is the fold of all commits. A change carries
everything that it needs, ids included, so that applying it again gives the same catalog.
Pure; may be called from any thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import assert_never

from engine.catalog.state import INTERNAL_DATABASE_ID, Catalog, Database, Table
from engine.errors import DatabaseNotFound, InconsistentChange
from engine.model.schema import Column, TableSchema
from engine.model.trigger import RequestSpec, Trigger

__all__ = [
    "AddColumns",
    "Change",
    "CreateDatabase",
    "CreateTable",
    "CreateTrigger",
    "Decide",
    "DeleteTrigger",
    "DisableTrigger",
    "EnableTrigger",
    "SetRetention",
    "apply",
    "apply_all",
    "changes_of",
]


@dataclass(frozen=True, slots=True)
class CreateDatabase:
    """A new, empty database."""

    id: int
    name: str
    retention_ns: int | None = None


@dataclass(frozen=True, slots=True)
class SetRetention:
    """Another retention period of a database; None keeps rows for ever."""

    database_id: int
    retention_ns: int | None


@dataclass(frozen=True, slots=True)
class CreateTable:
    """A new table with its first columns."""

    id: int
    database_id: int
    name: str
    columns: tuple[Column, ...]


@dataclass(frozen=True, slots=True)
class AddColumns:
    """New columns of a table, after those that it has."""

    table_id: int
    columns: tuple[Column, ...]


@dataclass(frozen=True, slots=True)
class CreateTrigger:
    """A new trigger."""

    trigger: Trigger


@dataclass(frozen=True, slots=True)
class EnableTrigger:
    """A trigger runs again and takes log entries from a new position."""

    id: int
    start: int


@dataclass(frozen=True, slots=True)
class DisableTrigger:
    """A trigger rests."""

    id: int


@dataclass(frozen=True, slots=True)
class DeleteTrigger:
    """A trigger is gone; its id stays taken."""

    id: int


Change = (
    CreateDatabase
    | SetRetention
    | CreateTable
    | AddColumns
    | CreateTrigger
    | EnableTrigger
    | DisableTrigger
    | DeleteTrigger
)

Decide = Callable[[Catalog], Sequence[Change]]


def apply(catalog: Catalog, change: Change) -> Catalog:
    """Return the catalog after a change; the commit number stays.

    Raises:
        InconsistentChange: the change names what is not there, or creates what is.
    """
    match change:
        case CreateDatabase():
            return _create_database(catalog, change)
        case SetRetention():
            database = _database(catalog, change.database_id)
            return catalog.with_database(replace(database, retention_ns=change.retention_ns))
        case CreateTable():
            return _create_table(catalog, change)
        case AddColumns():
            return _add_columns(catalog, change)
        case CreateTrigger():
            return _create_trigger(catalog, change.trigger)
        case EnableTrigger() | DisableTrigger():
            return _switch_trigger(catalog, change)
        case DeleteTrigger():
            return catalog.without_trigger(_trigger(catalog, change.id))
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


def changes_of(catalog: Catalog) -> tuple[Change, ...]:
    """Return changes that make the objects of a catalog out of an empty one, ids ascending."""
    creations: list[CreateDatabase | CreateTable] = []
    for database in catalog.databases.values():
        if database.id != INTERNAL_DATABASE_ID:
            creations.append(CreateDatabase(database.id, database.name, database.retention_ns))
        creations.extend(
            CreateTable(table.id, table.database_id, table.name, table.schema.columns)
            for table in database.tables.values()
        )
    triggers = (CreateTrigger(trigger) for trigger in catalog.triggers.values())
    return tuple(sorted((*creations, *triggers), key=_created_id))


def _created_id(change: CreateDatabase | CreateTable | CreateTrigger) -> int:
    return change.trigger.id if isinstance(change, CreateTrigger) else change.id


def _create_database(catalog: Catalog, change: CreateDatabase) -> Catalog:
    _free_id(catalog, change.id)
    _require(change.name not in catalog.databases, f"database {change.name!r} exists")
    return catalog.with_database(Database(change.id, change.name, change.retention_ns))


def _create_table(catalog: Catalog, change: CreateTable) -> Catalog:
    _free_id(catalog, change.id)
    database = _database(catalog, change.database_id)
    _require(change.name not in database.tables, f"table {change.name!r} exists")
    schema = _grown(TableSchema(), change.columns)
    return catalog.with_table(database, Table(change.id, database.id, change.name, schema))


def _add_columns(catalog: Catalog, change: AddColumns) -> Catalog:
    table = catalog.table_by_id(change.table_id)
    if table is None:
        raise InconsistentChange(f"no table has id {change.table_id}")
    grown = replace(table, schema=_grown(table.schema, change.columns))
    return catalog.with_table(_database(catalog, table.database_id), grown)


def _create_trigger(catalog: Catalog, trigger: Trigger) -> Catalog:
    _free_id(catalog, trigger.id)
    database = _database(catalog, trigger.database_id)
    taken = any(other.name == trigger.name for other in catalog.triggers_of(database.id))
    _require(not taken, f"trigger {trigger.name!r} exists")
    if isinstance(trigger.spec, RequestSpec):
        path = trigger.spec.path
        _require(catalog.request_trigger(path) is None, f"request path {path!r} is taken")
    return catalog.with_trigger(trigger)


def _switch_trigger(catalog: Catalog, change: EnableTrigger | DisableTrigger) -> Catalog:
    trigger = _trigger(catalog, change.id)
    if isinstance(change, EnableTrigger):
        return catalog.with_trigger(replace(trigger, disabled=False, start=change.start))
    return catalog.with_trigger(replace(trigger, disabled=True))


def _grown(schema: TableSchema, columns: tuple[Column, ...]) -> TableSchema:
    names = [column.name for column in columns]
    is_new = len(set(names)) == len(names) and all(schema.type_of(n) is None for n in names)
    _require(is_new, f"columns {names} exist already or stand twice")
    return schema.with_columns(columns)


def _database(catalog: Catalog, database_id: int) -> Database:
    try:
        return catalog.database_by_id(database_id)
    except DatabaseNotFound:
        raise InconsistentChange(f"no database has id {database_id}") from None


def _trigger(catalog: Catalog, trigger_id: int) -> Trigger:
    if trigger_id not in catalog.triggers:
        raise InconsistentChange(f"no trigger has id {trigger_id}")
    return catalog.triggers[trigger_id]


def _free_id(catalog: Catalog, wanted_id: int) -> None:
    _require(wanted_id >= catalog.next_id, f"id {wanted_id} has been used before")


def _require(is_fulfilled: bool, complaint: str) -> None:  # noqa: FBT001 - reads as assert
    if not is_fulfilled:
        raise InconsistentChange(complaint)
