"""What each change of locks and pins does to a catalog; a part of `engine.catalog.fold`.

A lock stays for as long as a pin names it, be it as one of before: no pin names what is not there.
Pure; may be called from any thread.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import assert_never

from engine.catalog.change import AddLock, PinChange, PinEnvironment, UnpinEnvironment
from engine.catalog.consistency import require
from engine.catalog.state import Catalog
from engine.model.lock import SHARED, Pin, Switch

__all__ = ["change_pins", "pins_of", "unpinned"]


def change_pins(catalog: Catalog, change: PinChange) -> Catalog:
    """Return the catalog after a change of locks and pins.

    Raises:
        InconsistentChange: see `engine.catalog.fold.apply`.
    """
    match change:
        case AddLock(lock):
            require(lock.id not in catalog.locks, f"lock {lock.id} is there already")
            return replace(catalog, locks={**catalog.locks, lock.id: lock})
        case PinEnvironment():
            return _pinned(catalog, change)
        case UnpinEnvironment(trigger_id):
            require(trigger_id in catalog.pins, f"nothing is pinned for id {trigger_id}")
            return unpinned(catalog, trigger_id)
        case _:
            assert_never(change)


def unpinned(catalog: Catalog, trigger_id: int) -> Catalog:
    """Return the catalog without the pin of a trigger, which it need not have."""
    if trigger_id not in catalog.pins:
        return catalog
    pins = {key: pin for key, pin in catalog.pins.items() if key != trigger_id}
    return _released(replace(catalog, pins=pins), catalog.pins[trigger_id])


def pins_of(catalog: Catalog) -> Iterator[PinChange]:
    """Yield changes that make the locks and pins of a catalog where there are none."""
    for lock in catalog.locks.values():
        yield AddLock(lock)
    for trigger_id, pin in catalog.pins.items():
        for switch in pin.history:
            yield PinEnvironment(
                trigger_id, switch.asked, switch.lock_id, switch.at_ns, switch.reason
            )


def _pinned(catalog: Catalog, change: PinEnvironment) -> Catalog:
    owner = change.trigger_id
    require(owner == SHARED or owner in catalog.triggers, f"no trigger has id {owner}")
    require(change.lock_id in catalog.locks, f"there is no lock {change.lock_id}")
    switch = Switch(change.lock_id, change.at_ns, change.reason, change.asked)
    before = catalog.pins.get(owner)
    after = before.switched(switch) if before else Pin((switch,))
    pinned = replace(catalog, pins={**catalog.pins, owner: after})
    return _released(pinned, before) if before else pinned


def _released(catalog: Catalog, before: Pin) -> Catalog:
    """Return the catalog without the locks that only a pin named that was there before."""
    named = {switch.lock_id for pin in catalog.pins.values() for switch in pin.history}
    gone = {switch.lock_id for switch in before.history} - named
    if not gone:
        return catalog
    return replace(catalog, locks={k: lock for k, lock in catalog.locks.items() if k not in gone})
