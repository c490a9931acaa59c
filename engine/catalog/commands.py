"""Decisions: which changes a request to the catalog comes to, or why it is refused.

Each function here returns a decision for `CatalogStore.update`, which calls it with the newest
catalog; nothing can come between the check and the commit. `create_missing` takes the catalog
itself, so that the write path can check its lines against the same catalog in one decision.
Decisions about deletion, about files and about triggers have modules of their own.
Pure; may be called from any thread.
"""

from __future__ import annotations

from collections.abc import Sequence

from engine.catalog.change import Change, CreateDatabase, Decide, SetRetention
from engine.catalog.deletion import (
    HardDelete,
    delete_database,
    delete_table,
    parse_hard_delete,
    purge_due,
)
from engine.catalog.filing import add_files, replace_files, set_persisted
from engine.catalog.missing import DEFAULT_LIMITS, CatalogLimits, create_missing
from engine.catalog.state import Catalog
from engine.catalog.trigger_commands import (
    NewTrigger,
    create_trigger,
    delete_trigger,
    disable_trigger,
    enable_trigger,
    refuse_internal,
)
from engine.errors import AlreadyDeleted, AlreadyExists, InvalidParameter, NotFound
from engine.model.names import check_database_name, check_table_name
from engine.model.schema import Column

__all__ = [
    "CatalogLimits",
    "HardDelete",
    "NewTrigger",
    "add_files",
    "create_database",
    "create_missing",
    "create_table",
    "create_trigger",
    "delete_database",
    "delete_table",
    "delete_trigger",
    "disable_trigger",
    "enable_trigger",
    "parse_hard_delete",
    "purge_due",
    "replace_files",
    "set_persisted",
    "set_retention",
]


def create_database(name: str, retention_ns: int | None = None) -> Decide:
    """Decide to create a database.

    Raises (the decision):
        InvalidDatabaseName, AlreadyExists; InvalidParameter for a retention that is not > 0.
    """

    def decide(catalog: Catalog) -> Sequence[Change]:
        check_database_name(name)
        _check_retention(retention_ns)
        if name in catalog.databases or catalog.trashed_named(name) is not None:
            raise AlreadyExists
        return [CreateDatabase(catalog.next_id, name, retention_ns)]

    return decide


def set_retention(name: str, retention_ns: int | None) -> Decide:
    """Decide to change how long a database keeps rows; None for ever.

    Raises (the decision):
        NotFound, AlreadyDeleted, InternalDatabase; InvalidParameter for a retention that is
        not > 0.
    """

    def decide(catalog: Catalog) -> Sequence[Change]:
        refuse_internal(name)
        _check_retention(retention_ns)
        database = catalog.databases.get(name)
        if database is None and catalog.trashed_named(name) is not None:
            raise AlreadyDeleted(name)
        if database is None:
            raise NotFound(name)
        if database.retention_ns == retention_ns:
            return []
        return [SetRetention(database.id, retention_ns)]

    return decide


def create_table(
    database_name: str,
    table_name: str,
    columns: Sequence[Column],
    limits: CatalogLimits = DEFAULT_LIMITS,
) -> Decide:
    """Decide to create a table, and its database when there is none.

    Raises (the decision):
        AlreadyExists for the table; InvalidDatabaseName; InvalidParameter for a name or column
        that cannot be; LimitExceeded; SoftDeletedDatabase, AlreadyDeleted for names in the trash.
    """

    def decide(catalog: Catalog) -> Sequence[Change]:
        check_database_name(database_name)
        check_table_name(table_name)
        database = catalog.databases.get(database_name)
        if database is not None and table_name in database.tables:
            raise AlreadyExists
        return create_missing(catalog, database_name, {table_name: columns}, limits)

    return decide


def _check_retention(retention_ns: int | None) -> None:
    if retention_ns is not None and retention_ns <= 0:
        raise InvalidParameter(
            "retention period must be longer than 0; leave it out to keep rows for ever"
        )
