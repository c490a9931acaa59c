"""What each change of a trigger does to a catalog; a part of `engine.catalog.fold`.

Pure; may be called from any thread.
"""

from __future__ import annotations

from dataclasses import replace
from typing import assert_never

from engine.catalog.change import (
    ConfineTrigger,
    CreateTrigger,
    DeleteTrigger,
    DisableTrigger,
    EnableTrigger,
    RequireTrigger,
    TriggerChange,
)
from engine.catalog.consistency import free_id, live_database, require
from engine.catalog.pin_fold import unpinned
from engine.catalog.state import Catalog
from engine.errors import InconsistentChange
from engine.model.trigger import RequestSpec, Trigger

__all__ = ["change_trigger"]


def change_trigger(catalog: Catalog, change: TriggerChange) -> Catalog:
    """Return the catalog after a change of a trigger.

    Raises:
        InconsistentChange: see `engine.catalog.fold.apply`.
    """
    match change:
        case CreateTrigger(trigger):
            return _create_trigger(catalog, trigger)
        case EnableTrigger(id_, start):
            trigger = _trigger(catalog, id_)
            return catalog.with_trigger(replace(trigger, disabled=False, start=start))
        case DisableTrigger(id_):
            return catalog.with_trigger(replace(_trigger(catalog, id_), disabled=True))
        case ConfineTrigger(id_, grants, limits):
            trigger = _trigger(catalog, id_)
            settings = replace(trigger.settings, grants=grants, limits=limits)
            return catalog.with_trigger(replace(trigger, settings=settings))
        case RequireTrigger(id_, requirements):
            trigger = _trigger(catalog, id_)
            settings = replace(trigger.settings, requirements=requirements)
            return catalog.with_trigger(replace(trigger, settings=settings))
        case DeleteTrigger(id_):
            return unpinned(catalog.without_trigger(_trigger(catalog, id_)), id_)
        case _:
            assert_never(change)


def _create_trigger(catalog: Catalog, trigger: Trigger) -> Catalog:
    free_id(catalog, trigger.id)
    database = live_database(catalog, trigger.database_id)
    taken = any(other.name == trigger.name for other in catalog.triggers_of(database.id))
    require(not taken, f"trigger {trigger.name!r} exists")
    if isinstance(trigger.spec, RequestSpec):
        path = trigger.spec.path
        require(catalog.request_trigger(path) is None, f"request path {path!r} is taken")
    return catalog.with_trigger(trigger)


def _trigger(catalog: Catalog, trigger_id: int) -> Trigger:
    if trigger_id not in catalog.triggers:
        raise InconsistentChange(f"no trigger has id {trigger_id}")
    return catalog.triggers[trigger_id]
