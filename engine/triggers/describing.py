"""Describes the environment of a trigger, or the shared one; looks at the disk, so it may wait."""

from __future__ import annotations

from collections.abc import Callable

from engine.catalog.state import Catalog
from engine.environments.environment import BrokenEnvironment, Environment
from engine.environments.jobs import JobState
from engine.environments.listing import installed
from engine.environments.lodging import Lodging, label_of
from engine.environments.service import Environments
from engine.model.lock import SHARED, Lock, packages_of
from engine.triggers.description import Description

__all__ = ["describe"]


def describe(
    catalog: Catalog, environments: Environments, lodging: Lodging, target: int
) -> Description:
    """Describe where a trigger runs.

    Args:
        catalog: of now.
        environments: knows what is built.
        lodging: knows what is in service.
        target: id of the trigger, or `SHARED`.
    """
    lock = lodging.lock_of(target)
    if lock is None:
        return _standing(catalog, lodging, target)
    database, name = _whose(catalog, target)
    pin = catalog.pins.get(target) or catalog.pins.get(SHARED)
    environment, reason = _look(lambda: environments.find(lock.id))
    state = "ready" if environment else "missing" if reason is None else "broken"
    if _is_building(environments, lodging, catalog, target):
        state = "building"
    return Description(
        trigger_name=name,
        database=database,
        lock=lock.id,
        python=lock.python,
        interpreter=str(environment.interpreter) if environment else "",
        state=state,
        reason_broken=reason,
        size_bytes=environments.shelf.size_bytes(lock.id),
        packages=packages_of(lock.text),
        requirements=pin.asked.requirements if pin else (),
        used_by=_used_by(catalog, lodging, lock),
        history=pin.history if pin else (),
        path=str(environments.shelf.path(lock.id)),
    )


def _standing(catalog: Catalog, lodging: Lodging, target: int) -> Description:
    """Describe an environment of the user's own."""
    database, name = _whose(catalog, target)
    environment, reason = _look(lambda: lodging.standing.of(SHARED).environment)
    return Description(
        trigger_name=name,
        database=database,
        lock=None,
        python=".".join(map(str, environment.version[:2])) if environment else "",
        interpreter=str(environment.interpreter) if environment else "",
        state="ready" if environment else "broken",
        reason_broken=reason,
        size_bytes=0,
        packages=installed(environment) if environment else {},
        requirements=(),
        used_by=_used_by(catalog, lodging, None),
        history=(),
        path=str(lodging.path),
    )


def _whose(catalog: Catalog, target: int) -> tuple[str | None, str | None]:
    trigger = catalog.triggers.get(target)
    if trigger is None:
        return None, None
    return catalog.database_by_id(trigger.database_id).name, trigger.name


def _look(find: Callable[[], Environment | None]) -> tuple[Environment | None, str | None]:
    try:
        return find(), None
    except BrokenEnvironment as error:
        return None, str(error)


def _is_building(
    environments: Environments, lodging: Lodging, catalog: Catalog, target: int
) -> bool:
    label = label_of(catalog, target)
    is_preparing = any(
        job.label == label and job.state is JobState.BUILDING for job in environments.jobs()
    )
    return is_preparing or lodging.is_building(target)


def _used_by(catalog: Catalog, lodging: Lodging, lock: Lock | None) -> tuple[tuple[str, str], ...]:
    return tuple(
        (catalog.database_by_id(trigger.database_id).name, trigger.name)
        for trigger in catalog.triggers.values()
        if lodging.lock_of(trigger.id) == lock
    )
