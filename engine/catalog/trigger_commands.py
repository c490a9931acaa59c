"""Decisions about triggers; see `engine.catalog.commands`.

Pure; may be called from any thread.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from engine.catalog.change import (
    Change,
    CreateTrigger,
    Decide,
    DeleteTrigger,
    DisableTrigger,
    EnableTrigger,
)
from engine.catalog.pinning import Pinned, pin_changes
from engine.catalog.state import Catalog, Database
from engine.errors import (
    AlreadyExists,
    InternalDatabase,
    InvalidParameter,
    InvalidTriggerSpec,
    TriggerDatabaseNotFound,
    TriggerRunning,
)
from engine.model.lock import Reason
from engine.model.names import INTERNAL_DATABASE, check_trigger_name
from engine.model.schedule import next_fire
from engine.model.trigger import (
    CronSpec,
    RequestSpec,
    Trigger,
    TriggerSettings,
    TriggerSpec,
)

__all__ = [
    "NewTrigger",
    "create_trigger",
    "delete_trigger",
    "disable_trigger",
    "enable_trigger",
    "refuse_internal",
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


def create_trigger(
    new: NewTrigger, *, start: int, now_ns: int, pinned: Pinned | None = None
) -> Decide:
    """Decide to create a trigger.

    Args:
        new: what the user gave.
        start: log position from which it takes entries.
        now_ns: UTC nanoseconds; a schedule that never fires after it is refused.
        pinned: the packages that it asks for, if it asks for any.

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
        created = _numbered(new, catalog.next_id, database.id, start)
        pins = pin_changes(catalog, created.id, pinned, at_ns=now_ns, reason=Reason.CREATED)
        return [CreateTrigger(created), *pins]

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


def refuse_internal(database_name: str) -> None:
    """Refuse to change the database that belongs to the server.

    Raises:
        InternalDatabase: it is that one.
    """
    if database_name == INTERNAL_DATABASE:
        raise InternalDatabase


def _trigger_database(catalog: Catalog, name: str) -> Database:
    refuse_internal(name)
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
