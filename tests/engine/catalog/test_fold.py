import time

import pytest

from engine.catalog.change import (
    AddColumns,
    Change,
    CreateDatabase,
    CreateTable,
    CreateTrigger,
    DeleteTrigger,
    DisableTrigger,
    EnableTrigger,
    SetRetention,
)
from engine.catalog.fold import apply, apply_all
from engine.catalog.state import INTERNAL_DATABASE_ID, Catalog
from engine.errors import DatabaseNotFound, InconsistentChange, NotFound
from engine.model.schema import Column, ColumnType
from engine.model.trigger import (
    AllTablesSpec,
    RequestSpec,
    Trigger,
    TriggerSettings,
    TriggerSpec,
)

HOST = Column("host", ColumnType.TAG)
LOAD = Column("load", ColumnType.FLOAT)
EMPTY = Catalog.empty("u")


def _trigger(trigger_id: int, name: str, spec: TriggerSpec, database_id: int = 1) -> Trigger:
    return Trigger(
        id=trigger_id,
        database_id=database_id,
        name=name,
        plugin="p.py",
        spec=spec,
        settings=TriggerSettings(),
        arguments=None,
        disabled=False,
        start=1,
    )


def _made(*changes: Change) -> Catalog:
    return apply_all(EMPTY, changes, 1)


SOME = (
    CreateDatabase(1, "db", 5),
    CreateTable(2, 1, "cpu", (HOST,)),
    CreateTrigger(_trigger(3, "t", RequestSpec("path"))),
)


def test_empty_catalog_has_the_internal_database() -> None:
    assert EMPTY.database("_internal").id == INTERNAL_DATABASE_ID
    assert EMPTY.next_id == 1


def test_objects_are_found_by_name_and_by_id() -> None:
    catalog = _made(*SOME)

    database = catalog.database("db")
    assert database.retention_ns == 5
    assert catalog.database_by_id(1) is database
    assert catalog.table_by_id(2) is database.tables["cpu"]
    assert catalog.trigger_named("db", "t").id == 3
    assert catalog.triggers_of(1) == (catalog.triggers[3],)
    assert catalog.request_trigger("path") is catalog.triggers[3]
    assert catalog.table_count == 1
    assert catalog.next_id == 4


def test_what_is_not_there_is_not_found() -> None:
    catalog = _made(*SOME)

    assert catalog.table_by_id(1) is None
    assert catalog.request_trigger("other") is None
    assert catalog.triggers_of(0) == ()
    with pytest.raises(DatabaseNotFound):
        catalog.database("nope")
    with pytest.raises(DatabaseNotFound, match="id 9"):
        catalog.database_by_id(9)
    with pytest.raises(NotFound):
        catalog.trigger_named("db", "nope")


def test_columns_are_appended_and_old_catalogs_stay_as_they_were() -> None:
    before = _made(*SOME)

    after = apply(before, AddColumns(2, (LOAD,)))

    assert after.database("db").tables["cpu"].schema.columns == (HOST, LOAD)
    assert after.table_by_id(2) is after.database("db").tables["cpu"]
    assert before.database("db").tables["cpu"].schema.columns == (HOST,)
    assert after.triggers is before.triggers


def test_retention_changes_and_tables_stay() -> None:
    catalog = apply(_made(*SOME), SetRetention(1, None))

    assert catalog.database("db").retention_ns is None
    assert "cpu" in catalog.database("db").tables


def test_trigger_is_disabled_and_enabled_at_a_new_position() -> None:
    resting = apply(_made(*SOME), DisableTrigger(3))
    running = apply(resting, EnableTrigger(3, 77))

    assert resting.triggers[3].disabled
    assert resting.request_trigger("path") is resting.triggers[3]
    assert (running.triggers[3].disabled, running.triggers[3].start) == (False, 77)
    assert running.trigger_named("db", "t") is running.triggers[3]


def test_deleted_trigger_frees_its_name_and_path_but_not_its_id() -> None:
    catalog = apply(_made(*SOME), DeleteTrigger(3))

    assert catalog.triggers == {}
    assert catalog.triggers_of(1) == ()
    assert catalog.request_trigger("path") is None
    assert catalog.next_id == 4
    with pytest.raises(InconsistentChange):
        apply(catalog, CreateTrigger(_trigger(3, "t", RequestSpec("path"))))


@pytest.mark.parametrize(
    "change",
    [
        CreateDatabase(4, "db"),
        CreateDatabase(2, "other"),
        SetRetention(9, None),
        CreateTable(4, 9, "mem", ()),
        CreateTable(4, 1, "cpu", ()),
        CreateTable(4, 1, "mem", (HOST, HOST)),
        CreateTable(4, 1, "mem", (Column("time", ColumnType.TAG),)),
        AddColumns(1, (LOAD,)),
        AddColumns(2, (HOST,)),
        CreateTrigger(_trigger(4, "t", AllTablesSpec())),
        CreateTrigger(_trigger(4, "u", RequestSpec("path"))),
        CreateTrigger(_trigger(4, "u", AllTablesSpec(), database_id=9)),
        EnableTrigger(2, 1),
        DisableTrigger(9),
        DeleteTrigger(9),
    ],
)
def test_change_that_does_not_fit_is_refused(change: Change) -> None:
    with pytest.raises(InconsistentChange):
        apply(_made(*SOME), change)


def test_table_of_a_large_catalog_is_changed_within_a_millisecond() -> None:
    tables = [CreateTable(n, 1, f"t{n}", (HOST,)) for n in range(2, 2002)]
    catalog = _made(CreateDatabase(1, "db"), *tables)

    def seconds() -> float:
        started = time.perf_counter()
        apply(catalog, AddColumns(1000, (LOAD,)))
        return time.perf_counter() - started

    assert min(seconds() for _ in range(20)) < 0.001


def test_catalog_describes_itself() -> None:
    assert repr(_made(*SOME)) == ("<Catalog u at commit 1: 2 databases, 1 tables, 1 triggers>")
