"""`system.processing_engine_environments`."""

import json
from pathlib import Path

import pyarrow as pa
import pytest

from engine.catalog.commands import NewTrigger, create_database, create_trigger
from engine.catalog.objects import LocalObjects
from engine.catalog.pinning import Pinned, pin_environment
from engine.catalog.store import CatalogStore
from engine.model.lock import SHARED, Asked, Lock, Reason, lock_of
from engine.model.trigger import AllTablesSpec
from engine.query.environment_table import BuildRow, Kept, environment_table

OLD = lock_of("3.11", "linux-x86_64", "numpy==1.26.4\nsix==1.17.0\n")
NEW = lock_of("3.12", "linux-x86_64", "numpy==2.0\npandas==2.3.3\n")
ASKED = Asked(("numpy",))


@pytest.fixture
def store(tmp_path: Path) -> CatalogStore:
    made = CatalogStore.open(LocalObjects(tmp_path))
    for database, name in (("a", "one"), ("b", "two")):
        made.update(create_database(database))
        new = NewTrigger(database, name, "p.py", AllTablesSpec())
        made.update(create_trigger(new, start=0, now_ns=0))
    return made


def pin(store: CatalogStore, trigger: str, lock: Lock, at_ns: int, reason: Reason) -> None:
    ids = {t.name: t.id for t in store.catalog.triggers.values()} | {"shared": SHARED}
    pinned = Pinned(ASKED, lock)
    store.update(pin_environment(ids[trigger], pinned, at_ns=at_ns, reason=reason))


def rows(
    store: CatalogStore, database: str, *builds: BuildRow, kept: dict[str, Kept] | None = None
) -> list[dict]:
    known = kept or {}
    provide = environment_table(lambda: builds, lambda lock_id: known.get(lock_id, Kept()))
    table = provide(store.catalog, store.catalog.database(database))
    place = table.schema.names.index("time")
    assert table.schema.field(place).type == pa.timestamp("ns")
    return table.set_column(place, "time", table["time"].cast(pa.int64())).to_pylist()


def test_triggers_without_packages_have_no_rows(store: CatalogStore) -> None:
    assert rows(store, "a") == []


def test_a_history_is_told_oldest_first_with_what_changed(store: CatalogStore) -> None:
    pin(store, "one", OLD, 5, Reason.CREATED)
    pin(store, "one", NEW, 7, Reason.UPGRADED)

    first, second = rows(store, "a", kept={NEW.id: Kept(size_bytes=99)})

    assert first == {
        "trigger_name": "one",
        "database": "a",
        "lock": OLD.id,
        "state": "superseded",
        "reason": "created",
        "python": "3.11",
        "packages": 2,
        "size_bytes": None,
        "time": 5,
        "requirements": None,
        "added": '{"numpy": "1.26.4", "six": "1.17.0"}',
        "removed": "{}",
        "changed": "{}",
        "last_line": None,
        "error": None,
    }
    assert second == {
        **first,
        "lock": NEW.id,
        "state": "ready",
        "reason": "upgraded",
        "python": "3.12",
        "size_bytes": 99,
        "time": 7,
        "requirements": '["numpy"]',
        "added": '{"pandas": "2.3.3"}',
        "removed": '{"six": "1.17.0"}',
        "changed": '{"numpy": ["1.26.4", "2.0"]}',
    }


def test_what_is_damaged_and_in_service_is_broken(store: CatalogStore) -> None:
    pin(store, "one", OLD, 5, Reason.CREATED)
    pin(store, "one", NEW, 7, Reason.UPGRADED)
    damaged = Kept(size_bytes=1, reason_broken="numpy is gone")

    found = rows(store, "a", kept={OLD.id: damaged, NEW.id: damaged})

    assert [(row["state"], row["error"]) for row in found] == [
        ("superseded", None),
        ("broken", "numpy is gone"),
    ]


def test_a_database_sees_its_own_and_the_shared_one_and_internal_all(store: CatalogStore) -> None:
    for trigger in ("two", "one", "shared"):
        pin(store, trigger, OLD, 5, Reason.CREATED)

    seen = {
        database: [(row["database"], row["trigger_name"]) for row in rows(store, database)]
        for database in ("a", "b", "_internal")
    }

    assert seen == {
        "a": [(None, None), ("a", "one")],
        "b": [(None, None), ("b", "two")],
        "_internal": [(None, None), ("a", "one"), ("b", "two")],
    }


def test_builds_are_told_to_those_whom_they_concern(store: CatalogStore) -> None:
    of_a = BuildRow(
        database="a",
        trigger="new",
        state="building",
        requirements=["six"],
        began_ns=3,
        last_line="Resolved",
    )
    shared = BuildRow(
        database=None, trigger=None, state="failed", requirements=[], began_ns=4, error="no index"
    )

    [building, failed] = rows(store, "a", of_a, shared)

    assert (building["trigger_name"], building["state"]) == ("new", "building")
    assert (building["last_line"], building["time"]) == ("Resolved", 3)
    assert json.loads(building["requirements"]) == ["six"]
    assert building["lock"] is None
    assert (failed["trigger_name"], failed["state"], failed["error"]) == (
        None,
        "failed",
        "no index",
    )
    assert len(rows(store, "b", of_a, shared)) == 1
    assert len(rows(store, "_internal", of_a, shared)) == 2
