"""Pins of triggers: one commit with what they belong to, and no lock more than they name."""

from dataclasses import replace
from pathlib import Path

import pytest

from engine.catalog.change import AddLock, PinEnvironment, UnpinEnvironment
from engine.catalog.commands import NewTrigger, create_database, create_trigger, delete_trigger
from engine.catalog.fold import apply
from engine.catalog.objects import LocalObjects
from engine.catalog.pinning import (
    Pinned,
    pin_environment,
    require_trigger,
    unpin_environment,
)
from engine.catalog.store import CatalogStore
from engine.errors import InconsistentChange, NotFound
from engine.model.lock import MAX_HISTORY, SHARED, Asked, Reason, Switch, lock_of
from engine.model.trigger import AllTablesSpec, TriggerSettings

ASKED = Asked(("adtk",))


def pinned(version: int, asked: Asked = ASKED) -> Pinned:
    return Pinned(asked, lock_of("3.11", "linux-x86_64", f"adtk=={version}\n"))


ONE, TWO = pinned(1), pinned(2)


@pytest.fixture
def store(tmp_path: Path) -> CatalogStore:
    store = CatalogStore.open(LocalObjects(tmp_path))
    store.update(create_database("db"))
    create(store, "t", ONE)
    return store


def create(store: CatalogStore, name: str, packages: Pinned | None) -> int:
    settings = TriggerSettings(requirements=("adtk",))
    new = NewTrigger("db", name, "p.py", AllTablesSpec(), settings)
    store.update(create_trigger(new, start=5, now_ns=7, pinned=packages))
    return store.catalog.trigger_named("db", name).id


def own(store: CatalogStore) -> int:
    return store.catalog.trigger_named("db", "t").id


def test_a_trigger_is_created_with_its_pin_in_one_commit(
    store: CatalogStore, tmp_path: Path
) -> None:
    number = store.catalog.number

    trigger_id = create(store, "u", TWO)

    assert store.catalog.number == number + 1
    catalog = CatalogStore.open(LocalObjects(tmp_path)).catalog
    assert catalog.pins[trigger_id].history == (Switch(TWO.lock.id, 7, Reason.CREATED, ASKED),)
    assert catalog.pins[trigger_id].asked == ASKED
    assert catalog.locks == {ONE.lock.id: ONE.lock, TWO.lock.id: TWO.lock}
    assert catalog.triggers[trigger_id].settings.requirements == ("adtk",)


def test_a_trigger_that_asks_for_nothing_has_no_pin(store: CatalogStore) -> None:
    trigger_id = create(store, "u", None)

    assert trigger_id not in store.catalog.pins


def test_triggers_with_the_same_lock_share_it(store: CatalogStore) -> None:
    create(store, "u", ONE)
    store.update(delete_trigger("db", "t", force=True))

    assert list(store.catalog.locks) == [ONE.lock.id]


def test_a_deleted_trigger_takes_its_pin_and_its_locks_along(store: CatalogStore) -> None:
    store.update(pin_environment(own(store), TWO, at_ns=8, reason=Reason.UPGRADED))

    store.update(delete_trigger("db", "t", force=True))

    assert (store.catalog.pins, store.catalog.locks) == ({}, {})


def test_locks_of_before_stay_for_a_way_back_until_they_are_forgotten(store: CatalogStore) -> None:
    for version in range(2, MAX_HISTORY + 1):
        store.update(
            pin_environment(own(store), pinned(version), at_ns=version, reason=Reason.UPGRADED)
        )
    assert ONE.lock.id in store.catalog.locks

    store.update(pin_environment(own(store), pinned(99), at_ns=99, reason=Reason.UPGRADED))

    assert ONE.lock.id not in store.catalog.locks
    assert len(store.catalog.locks) == len(store.catalog.pins[own(store)].history) == MAX_HISTORY


def test_the_same_pin_again_is_no_commit(store: CatalogStore) -> None:
    number = store.catalog.number

    store.update(pin_environment(own(store), ONE, at_ns=9, reason=Reason.REPAIRED))

    assert store.catalog.number == number


def test_the_same_lock_for_another_wish_remembers_the_wish(store: CatalogStore) -> None:
    asked = Asked(("adtk>=0.1",))
    before = store.catalog.pins[own(store)]

    store.update(pin_environment(own(store), pinned(1, asked), at_ns=9, reason=Reason.UPDATED))

    after = store.catalog.pins[own(store)]
    assert after.asked == asked
    assert after.history == (replace(before.history[-1], asked=asked),)


def test_what_all_share_has_a_pin_without_a_trigger(store: CatalogStore) -> None:
    store.update(pin_environment(SHARED, TWO, at_ns=9, reason=Reason.INSTALLED))

    assert store.catalog.pins[SHARED].lock_id == TWO.lock.id


def test_a_trigger_that_is_gone_gets_no_pin(store: CatalogStore) -> None:
    with pytest.raises(NotFound):
        store.update(pin_environment(99, TWO, at_ns=9, reason=Reason.CODE_CHANGED))


def test_a_pin_is_taken_away_once(store: CatalogStore) -> None:
    trigger_id = own(store)
    store.update(unpin_environment(trigger_id))
    number = store.catalog.number

    store.update(unpin_environment(trigger_id))

    assert store.catalog.number == number
    assert (store.catalog.pins, store.catalog.locks) == ({}, {})


def test_requirements_and_their_lock_change_in_one_commit(store: CatalogStore) -> None:
    number = store.catalog.number

    store.update(require_trigger(own(store), ("adtk>1",), TWO, at_ns=9))

    assert store.catalog.number == number + 1
    assert store.catalog.trigger_named("db", "t").settings.requirements == ("adtk>1",)
    assert store.catalog.pins[own(store)].history == (
        Switch(ONE.lock.id, 7, Reason.CREATED, ONE.asked),
        Switch(TWO.lock.id, 9, Reason.UPDATED, TWO.asked),
    )


def test_without_requirements_there_is_no_pin(store: CatalogStore) -> None:
    store.update(require_trigger(own(store), (), None, at_ns=9))

    assert store.catalog.trigger_named("db", "t").settings.requirements == ()
    assert store.catalog.pins == {}


def test_requirements_of_an_unknown_trigger_are_refused(store: CatalogStore) -> None:
    with pytest.raises(NotFound):
        store.update(require_trigger(99, (), None, at_ns=9))


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (AddLock(ONE.lock), "is there already"),
        (UnpinEnvironment(SHARED), "nothing is pinned for id 0"),
        (PinEnvironment(99, ASKED, ONE.lock.id, 0, Reason.CREATED), "no trigger has id 99"),
        (PinEnvironment(SHARED, ASKED, "other", 0, Reason.CREATED), "there is no lock other"),
    ],
)
def test_changes_that_do_not_fit_are_refused(
    store: CatalogStore, change: AddLock | PinEnvironment | UnpinEnvironment, complaint: str
) -> None:
    with pytest.raises(InconsistentChange, match=complaint):
        apply(store.catalog, change)
