from collections.abc import Sequence
from dataclasses import replace

import pytest

from engine.catalog.change import (
    AddColumns,
    Change,
    CreateDatabase,
    CreateTable,
    Decide,
    DeleteTrigger,
    DisableTrigger,
    EnableTrigger,
    SetRetention,
)
from engine.catalog.commands import (
    NewTrigger,
    create_database,
    create_table,
    create_trigger,
    delete_trigger,
    disable_trigger,
    enable_trigger,
    set_retention,
)
from engine.catalog.fold import apply_all
from engine.catalog.missing import CatalogLimits, create_missing
from engine.catalog.state import Catalog
from engine.errors import (
    AlreadyExists,
    DatabaseNotFound,
    InternalDatabase,
    InvalidDatabaseName,
    InvalidParameter,
    InvalidTriggerSpec,
    LimitExceeded,
    NotFound,
    TriggerDatabaseNotFound,
    TriggerRunning,
)
from engine.model.schema import Column, ColumnType
from engine.model.trigger import AllTablesSpec, CronSpec, RequestSpec

NOW_NS = 1_735_689_600 * 10**9
HOST = Column("host", ColumnType.TAG)
LOAD = Column("load", ColumnType.FLOAT)
NEW = NewTrigger("db", "t", "p.py", AllTablesSpec(), arguments={"a": "1"})


def _after(catalog: Catalog, *decisions: Decide) -> Catalog:
    for decide in decisions:
        catalog = apply_all(catalog, decide(catalog), catalog.number + 1)
    return catalog


def _create(new: NewTrigger) -> Decide:
    return create_trigger(new, start=5, now_ns=NOW_NS)


EMPTY = Catalog.empty("u")
ONE = _after(EMPTY, create_database("db", None))  # database 1
TABLE = _after(ONE, create_table("db", "cpu", [HOST]))  # table 2
TRIGGER = _after(ONE, _create(NEW))  # trigger 2


def test_database_is_created_with_its_retention() -> None:
    assert create_database("x", 9)(EMPTY) == [CreateDatabase(1, "x", 9)]


@pytest.mark.parametrize(
    ("name", "retention_ns", "error"),
    [
        ("db", None, AlreadyExists),
        ("_internal", None, InvalidDatabaseName),
        ("", None, InvalidDatabaseName),
        ("other", 0, InvalidParameter),
    ],
)
def test_database_is_refused(name: str, retention_ns: int | None, error: type[Exception]) -> None:
    with pytest.raises(error):
        create_database(name, retention_ns)(ONE)


def test_retention_is_set_once() -> None:
    assert set_retention("db", 9)(ONE) == [SetRetention(1, 9)]
    assert set_retention("db", None)(ONE) == []


def test_retention_of_unknown_and_internal_databases_is_refused() -> None:
    with pytest.raises(NotFound, match="the requested resource was not found: nope"):
        set_retention("nope", 9)(ONE)
    with pytest.raises(InternalDatabase):
        set_retention("_internal", 9)(ONE)
    with pytest.raises(InvalidParameter, match="longer than 0"):
        set_retention("db", -1)(ONE)


def test_table_is_created_with_its_database() -> None:
    assert create_table("x", "cpu", [HOST, LOAD])(EMPTY) == [
        CreateDatabase(1, "x"),
        CreateTable(2, 1, "cpu", (HOST, LOAD)),
    ]


def test_existing_table_and_bad_names_are_refused() -> None:
    with pytest.raises(AlreadyExists):
        create_table("db", "cpu", [])(TABLE)
    with pytest.raises(InvalidParameter):
        create_table("db", "", [])(ONE)
    with pytest.raises(InvalidDatabaseName):
        create_table("_internal", "x", [])(ONE)


def test_only_what_is_missing_is_created() -> None:
    assert create_missing(TABLE, "db", {"cpu": [HOST]}) == []
    assert create_missing(TABLE, "db", {"cpu": [HOST, LOAD, LOAD], "mem": [LOAD]}) == [
        AddColumns(2, (LOAD,)),
        CreateTable(3, 1, "mem", (LOAD,)),
    ]
    assert create_missing(TABLE, "new", {"a": [HOST], "b": []}) == [
        CreateDatabase(3, "new"),
        CreateTable(4, 3, "a", (HOST,)),
        CreateTable(5, 3, "b", ()),
    ]


def test_what_is_created_applies_and_is_not_missing_any_more() -> None:
    wanted = {"cpu": [HOST, LOAD], "mem": [LOAD]}

    catalog = _after(TABLE, lambda catalog: create_missing(catalog, "db", wanted))

    assert create_missing(catalog, "db", wanted) == []


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (
            [Column("host", ColumnType.FLOAT)],
            "'host', expected iox::column_type::tag, got iox::column_type::field::float",
        ),
        ([LOAD, Column("load", ColumnType.INTEGER)], "invalid column type for column 'load'"),
        ([Column("time", ColumnType.TAG)], "'time' is a reserved column"),
        ([Column("__chunk_order", ColumnType.TAG)], "'__chunk_order' is a reserved column"),
    ],
)
def test_columns_that_cannot_be_are_refused(columns: list[Column], message: str) -> None:
    with pytest.raises(InvalidParameter, match=message):
        create_missing(TABLE, "db", {"cpu": columns})


def test_limits_of_tables_and_columns_are_kept() -> None:
    limits = CatalogLimits(max_tables=2, max_columns=2)
    many = [Column(f"c{n}", ColumnType.FLOAT) for n in range(2)]

    assert create_missing(TABLE, "db", {"mem": many}, limits)
    assert create_missing(TABLE, "db", {"cpu": many[:1]}, limits)
    with pytest.raises(LimitExceeded, match=r"already have 2 table\(s\) \(limit: 2\)"):
        create_missing(TABLE, "db", {"mem": [], "disk": []}, limits)
    with pytest.raises(LimitExceeded, match="columns per table limit of 2 columns"):
        create_missing(TABLE, "db", {"cpu": many}, limits)


def test_nobody_writes_to_the_internal_database() -> None:
    with pytest.raises(InternalDatabase):
        create_missing(EMPTY, "_internal", {"x": []})


def test_trigger_is_created_with_everything_given() -> None:
    trigger = TRIGGER.trigger_named("db", "t")

    assert (trigger.id, trigger.database_id, trigger.start) == (2, 1, 5)
    assert trigger.arguments == {"a": "1"}
    assert not trigger.disabled


@pytest.mark.parametrize(
    ("new", "error", "message"),
    [
        (NEW, AlreadyExists, "attempted to create a resource that already exists"),
        (replace(NEW, database="nope"), TriggerDatabaseNotFound, "^Database not found nope$"),
        (replace(NEW, database="_internal"), InternalDatabase, "cannot modify internal db"),
        (replace(NEW, name=""), InvalidParameter, "trigger name is empty"),
        (replace(NEW, name="u", plugin="\ud800"), InvalidParameter, "not valid Unicode"),
        (replace(NEW, name="u", arguments={"a": "\udfff"}), InvalidParameter, "not valid"),
        (
            replace(NEW, name="u", spec=CronSpec("0 0 0 30 2 *")),
            InvalidTriggerSpec,
            r"^cron schedule never triggers: 0 0 0 30 2 \*$",
        ),
    ],
)
def test_trigger_is_refused(new: NewTrigger, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        _create(new)(TRIGGER)


def test_request_path_is_unique_over_all_databases() -> None:
    hook = replace(NEW, name="hook", spec=RequestSpec("in"))
    catalog = _after(TRIGGER, _create(hook), create_database("other"))

    with pytest.raises(
        AlreadyExists, match="request path 'in' already belongs to trigger 'hook' of database 'db'"
    ):
        _create(replace(hook, database="other", name="x"))(catalog)


def test_same_trigger_name_may_stand_in_two_databases() -> None:
    catalog = _after(TRIGGER, create_database("other"), _create(replace(NEW, database="other")))

    assert len(catalog.triggers) == 2


def test_enable_and_disable_do_nothing_twice() -> None:
    resting = _after(TRIGGER, disable_trigger("db", "t"))

    assert disable_trigger("db", "t")(TRIGGER) == [DisableTrigger(2)]
    assert disable_trigger("db", "t")(resting) == []
    assert enable_trigger("db", "t", start=9)(resting) == [EnableTrigger(2, 9)]
    assert enable_trigger("db", "t", start=9)(TRIGGER) == []


def test_running_trigger_is_deleted_by_force_only() -> None:
    resting = _after(TRIGGER, disable_trigger("db", "t"))

    with pytest.raises(TriggerRunning, match="Cannot delete running plugin t"):
        delete_trigger("db", "t", force=False)(TRIGGER)
    assert delete_trigger("db", "t", force=True)(TRIGGER) == [DeleteTrigger(2)]
    assert delete_trigger("db", "t", force=False)(resting) == [DeleteTrigger(2)]


@pytest.mark.parametrize(
    ("database", "name", "error"),
    [
        ("nope", "t", DatabaseNotFound),
        ("db", "nope", NotFound),
        ("_internal", "t", InternalDatabase),
    ],
)
def test_unknown_triggers_are_not_found(database: str, name: str, error: type[Exception]) -> None:
    decisions: Sequence[Decide] = (
        enable_trigger(database, name, start=1),
        disable_trigger(database, name),
        delete_trigger(database, name, force=True),
    )
    for decide in decisions:
        with pytest.raises(error):
            decide(TRIGGER)


def test_decisions_leave_the_catalog_alone() -> None:
    changes: Sequence[Change] = create_missing(TABLE, "db", {"mem": [LOAD]})

    assert changes
    assert "mem" not in TABLE.database("db").tables
