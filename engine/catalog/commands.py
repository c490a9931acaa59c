"""Decisions: which changes a request to the catalog comes to, or why it is refused.

Each function here returns a decision for `CatalogStore.update`, which calls it with the newest
catalog; nothing can come between the check and the commit. `create_missing` takes the catalog
itself, so that the write path can check its lines against the same catalog in one decision.
Decisions about deletion and about files have modules of their own.
Pure; may be called from any thread.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from engine.catalog.change import (
    Change,
    CreateDatabase,
    CreateTrigger,
    Decide,
    DeleteTrigger,
    DisableTrigger,
    EnableTrigger,
    SetRetention,
)
from engine.catalog.deletion import (
    HardDelete,
    delete_database,
    delete_table,
    parse_hard_delete,
    purge_due,
)
from engine.catalog.filing import add_files, replace_files, set_persisted
from engine.catalog.missing import DEFAULT_LIMITS, CatalogLimits, create_missing
from engine.catalog.state import Catalog, Database
from engine.errors import (
    AlreadyDeleted,
    AlreadyExists,
    InternalDatabase,
    InvalidParameter,
    InvalidTriggerSpec,
    NotFound,
    TriggerDatabaseNotFound,
    TriggerRunning,
)
from engine.model.names import (
    INTERNAL_DATABASE,
    check_database_name,
    check_table_name,
    check_trigger_name,
)
from engine.model.schedule import next_fire
from engine.model.schema import Column
from engine.model.trigger import (
    CronSpec,
    RequestSpec,
    Trigger,
    TriggerSettings,
    TriggerSpec,
)

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


@dataclass(frozen=True, slots=True)
class NewTrigger:
    """What a user gives to create a trigger; see `Trigger`."""

    database: str
    name: str
    plugin: str
    spec: TriggerSpec
    settings: TriggerSettings = field(default_factory=TriggerSettings)
    arguments: Mapping[str, str] | None = None
    disabled: bool = False


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
        _refuse_internal(name)
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


def create_trigger(new: NewTrigger, *, start: int, now_ns: int) -> Decide:
    """Decide to create a trigger.

    Args:
        new: what the user gave.
        start: log position from which it takes entries.
        now_ns: UTC nanoseconds; a schedule that never fires after it is refused.

    Raises (the decision):
        InternalDatabase, TriggerDatabaseNotFound, AlreadyExists (name or request path),
        InvalidTriggerSpec; InvalidParameter for a name or text that cannot be kept.
    """

    def decide(catalog: Catalog) -> Sequence[Change]:
        database = _trigger_database(catalog, new.database)
        check_trigger_name(new.name)
        _check_texts(new)
        _check_fires(new.spec, now_ns)
        if any(other.name == new.name for other in catalog.triggers_of(database.id)):
            raise AlreadyExists
        _check_path(catalog, new.spec)
        return [CreateTrigger(_numbered(new, catalog.next_id, database.id, start))]

    return decide


def enable_trigger(database_name: str, trigger_name: str, *, start: int) -> Decide:
    """Decide that a trigger runs, from a log position on; nothing when it does already.

    Raises (the decision):
        InternalDatabase, TriggerDatabaseNotFound, NotFound.
    """

    def decide(catalog: Catalog) -> Sequence[Change]:
        trigger = _trigger(catalog, database_name, trigger_name)
        return [EnableTrigger(trigger.id, start)] if trigger.disabled else []

    return decide


def disable_trigger(database_name: str, trigger_name: str) -> Decide:
    """Decide that a trigger rests; nothing when it does already.

    Raises (the decision):
        InternalDatabase, TriggerDatabaseNotFound, NotFound.
    """

    def decide(catalog: Catalog) -> Sequence[Change]:
        trigger = _trigger(catalog, database_name, trigger_name)
        return [] if trigger.disabled else [DisableTrigger(trigger.id)]

    return decide


def delete_trigger(database_name: str, trigger_name: str, *, force: bool) -> Decide:
    """Decide to remove a trigger; an enabled one only by force.

    Raises (the decision):
        InternalDatabase, TriggerDatabaseNotFound, NotFound, TriggerRunning.
    """

    def decide(catalog: Catalog) -> Sequence[Change]:
        trigger = _trigger(catalog, database_name, trigger_name)
        if not trigger.disabled and not force:
            raise TriggerRunning(trigger_name)
        return [DeleteTrigger(trigger.id)]

    return decide


def _refuse_internal(database_name: str) -> None:
    if database_name == INTERNAL_DATABASE:
        raise InternalDatabase


def _check_retention(retention_ns: int | None) -> None:
    if retention_ns is not None and retention_ns <= 0:
        raise InvalidParameter(
            "retention period must be longer than 0; leave it out to keep rows for ever"
        )


def _trigger_database(catalog: Catalog, name: str) -> Database:
    _refuse_internal(name)
    if name not in catalog.databases:
        raise TriggerDatabaseNotFound(name)
    return catalog.databases[name]


def _trigger(catalog: Catalog, database_name: str, trigger_name: str) -> Trigger:
    _trigger_database(catalog, database_name)
    return catalog.trigger_named(database_name, trigger_name)


def _check_texts(new: NewTrigger) -> None:
    """Refuse texts that JSON can bring in but that have no UTF-8 form, as lone surrogates."""
    texts = [new.plugin, str(new.spec), *(new.arguments or {}), *(new.arguments or {}).values()]
    for text in texts:
        try:
            text.encode()
        except UnicodeEncodeError:
            raise InvalidParameter(f"text {text!r} is not valid Unicode") from None


def _check_fires(spec: TriggerSpec, now_ns: int) -> None:
    if isinstance(spec, CronSpec) and next_fire(spec, now_ns) is None:
        raise InvalidTriggerSpec(f"cron schedule never triggers: {spec.expression}")


def _check_path(catalog: Catalog, spec: TriggerSpec) -> None:
    if not isinstance(spec, RequestSpec):
        return
    other = catalog.request_trigger(spec.path)
    if other is None:
        return
    database = catalog.database_by_id(other.database_id)
    raise AlreadyExists(
        f"request path '{spec.path}' already belongs to trigger '{other.name}' "
        f"of database '{database.name}'; choose another path, or delete that trigger"
    )


def _numbered(new: NewTrigger, trigger_id: int, database_id: int, start: int) -> Trigger:
    return Trigger(
        id=trigger_id,
        database_id=database_id,
        name=new.name,
        plugin=new.plugin,
        spec=new.spec,
        settings=new.settings,
        arguments=None if new.arguments is None else dict(new.arguments),
        disabled=new.disabled,
        start=start,
    )
