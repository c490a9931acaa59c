from pathlib import Path

import pytest

from engine.catalog.commands import NewTrigger, create_database, create_trigger
from engine.catalog.confining import confine_trigger
from engine.catalog.objects import LocalObjects
from engine.catalog.store import CatalogStore
from engine.errors import DatabaseNotFound, NotFound
from engine.model.grants import Grants
from engine.model.limits import Limits
from engine.model.trigger import AllTablesSpec, ErrorBehavior, TriggerSettings

GRANTS, LIMITS = Grants(variables=("A",)), Limits(processes=8)


@pytest.fixture
def store(tmp_path: Path) -> CatalogStore:
    store = CatalogStore.open(LocalObjects(tmp_path))
    store.update(create_database("db"))
    settings = TriggerSettings(error_behavior=ErrorBehavior.RETRY, grants=GRANTS, limits=LIMITS)
    new = NewTrigger("db", "t", "p.py", AllTablesSpec(), settings)
    store.update(create_trigger(new, start=5, now_ns=0))
    return store


@pytest.mark.parametrize(
    ("grants", "limits", "expected"),
    [
        (Grants(), None, (Grants(), LIMITS)),
        (None, Limits(), (GRANTS, Limits())),
        (Grants(subprocess=True), Limits(cpu=1.0), (Grants(subprocess=True), Limits(cpu=1.0))),
    ],
)
def test_what_is_given_is_replaced_and_survives(
    store: CatalogStore,
    tmp_path: Path,
    grants: Grants | None,
    limits: Limits | None,
    expected: tuple[Grants, Limits],
) -> None:
    before = store.catalog.trigger_named("db", "t")

    store.update(confine_trigger("db", "t", grants, limits))

    after = CatalogStore.open(LocalObjects(tmp_path)).catalog.trigger_named("db", "t")
    assert (after.settings.grants, after.settings.limits) == expected
    assert after.settings.error_behavior is ErrorBehavior.RETRY
    assert (after.id, after.start) == (before.id, before.start)


def test_the_same_again_is_no_change(store: CatalogStore) -> None:
    number = store.catalog.number

    store.update(confine_trigger("db", "t", GRANTS, LIMITS))

    assert store.catalog.number == number


def test_an_unknown_trigger_is_not_found(store: CatalogStore) -> None:
    with pytest.raises(NotFound):
        store.update(confine_trigger("db", "u", GRANTS, None))
    with pytest.raises(DatabaseNotFound):
        store.update(confine_trigger("dc", "t", GRANTS, None))
