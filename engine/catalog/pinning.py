"""Decisions about the packages of triggers: which lock runs, and what a trigger asks for itself.

Each is one commit: a trigger never asks for something and runs on the lock of something else.
Pure; may be called from any thread.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from engine.catalog.change import (
    AddLock,
    Change,
    Decide,
    PinChange,
    PinEnvironment,
    RequireTrigger,
    UnpinEnvironment,
)
from engine.catalog.state import Catalog
from engine.model.lock import SHARED, Asked, Lock, Reason

__all__ = ["Pinned", "pin_changes", "pin_environment", "require_trigger", "unpin_environment"]


@dataclass(frozen=True, slots=True)
class Pinned:
    """A lock, and what it was made for."""

    asked: Asked
    lock: Lock


def pin_environment(trigger_id: int, pinned: Pinned, *, at_ns: int, reason: Reason) -> Decide:
    """Decide that a trigger runs on a lock; nothing when it does, and asks for the same.

    Args:
        trigger_id: or `SHARED`.
        pinned: the lock, which the catalog need not know yet.
        at_ns: the time of the decision; UTC nanoseconds.
        reason: of the decision.

    Raises (the decision):
        NotFound: the trigger is gone.
    """

    def decide(catalog: Catalog) -> Sequence[Change]:
        if trigger_id != SHARED:
            catalog.trigger_by_id(trigger_id)
        return pin_changes(catalog, trigger_id, pinned, at_ns=at_ns, reason=reason)

    return decide


def unpin_environment(trigger_id: int) -> Decide:
    """Decide that a trigger has no environment of its own; nothing when it has none."""

    def decide(catalog: Catalog) -> Sequence[Change]:
        return [UnpinEnvironment(trigger_id)] if trigger_id in catalog.pins else []

    return decide


def require_trigger(
    trigger_id: int, requirements: tuple[str, ...], pinned: Pinned | None, *, at_ns: int
) -> Decide:
    """Decide what a trigger asks for itself, and what it runs on then.

    Args:
        trigger_id: of that trigger, not of one that came to have its name.
        requirements: in place of those that it has.
        pinned: what its plugin and it ask for together, and the lock; None for nothing, which
            takes its pin away.
        at_ns: the time of the decision; UTC nanoseconds.

    Raises (the decision):
        NotFound: the trigger is gone.
    """

    def decide(catalog: Catalog) -> Sequence[Change]:
        trigger = catalog.trigger_by_id(trigger_id)
        changes: list[Change] = []
        if trigger.settings.requirements != requirements:
            changes.append(RequireTrigger(trigger.id, requirements))
        if pinned is None:
            return [*changes, *unpin_environment(trigger.id)(catalog)]
        pins = pin_changes(catalog, trigger.id, pinned, at_ns=at_ns, reason=Reason.UPDATED)
        return [*changes, *pins]

    return decide


def pin_changes(
    catalog: Catalog, trigger_id: int, pinned: Pinned | None, *, at_ns: int, reason: Reason
) -> list[PinChange]:
    """Return the changes after which a trigger runs on a lock; none when it does, or for none."""
    if pinned is None:
        return []
    lock, before = pinned.lock, catalog.pins.get(trigger_id)
    if before is not None and (before.lock_id, before.asked) == (lock.id, pinned.asked):
        return []
    added: list[PinChange] = [] if lock.id in catalog.locks else [AddLock(lock)]
    return [*added, PinEnvironment(trigger_id, pinned.asked, lock.id, at_ns, reason)]
