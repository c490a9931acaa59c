from datetime import UTC, datetime

import pytest

from engine.catalog.change import (
    CreateDatabase,
    CreateTable,
    CreateTrigger,
    Decide,
    DeleteTrigger,
    PurgeDatabase,
    PurgeTable,
    TrashDatabase,
    TrashTable,
)
from engine.catalog.commands import NewTrigger, create_database, create_table, create_trigger
from engine.catalog.commands import set_retention as set_retention_of
from engine.catalog.deletion import (
    NOW,
    After,
    At,
    HardDelete,
    Never,
    delete_database,
    delete_table,
    parse_hard_delete,
    purge_due,
)
from engine.catalog.fold import apply_all
from engine.catalog.missing import create_missing
from engine.catalog.state import Catalog
from engine.errors import (
    AlreadyDeleted,
    AlreadyExists,
    EngineError,
    InternalDatabase,
    InvalidParameter,
    NotFound,
    SoftDeletedDatabase,
    TriggerDatabaseNotFound,
)
from engine.model.schema import Column, ColumnType
from engine.model.trigger import AllTablesSpec, Trigger, TriggerSettings

NOW_NS = int(datetime(2025, 3, 4, 5, 6, 7, tzinfo=UTC).timestamp()) * 10**9 + 5
SOON = After(1000)
DB_GONE = "db-20250304T050607"
CPU_GONE = "cpu-20250304T050607"
HOST = Column("host", ColumnType.TAG)
TRIGGER = Trigger(4, 1, "t", "p.py", AllTablesSpec(), TriggerSettings(), None, False, 1)
ONE = apply_all(
    Catalog.empty("u"),
    [
        CreateDatabase(1, "db"),
        CreateTable(2, 1, "cpu", (HOST,)),
        CreateTable(3, 1, "mem", (HOST,)),
        CreateTrigger(TRIGGER),
    ],
    1,
)


def _after(catalog: Catalog, *decisions: Decide) -> Catalog:
    for decide in decisions:
        catalog = apply_all(catalog, decide(catalog), catalog.number + 1)
    return catalog


NO_DATABASE = _after(ONE, delete_database("db", NOW_NS, SOON))
NO_TABLE = _after(ONE, delete_table("db", "cpu", NOW_NS, SOON))


@pytest.mark.parametrize(
    ("hard_delete", "time_ns"),
    [
        (Never(), None),
        (NOW, NOW_NS),
        (SOON, NOW_NS + 1000),
        (At(NOW_NS + 7), NOW_NS + 7),
        (At(5), NOW_NS),
    ],
)
def test_database_is_deleted_with_its_triggers(
    hard_delete: HardDelete, time_ns: int | None
) -> None:
    assert delete_database("db", NOW_NS, hard_delete)(ONE) == [
        DeleteTrigger(4),
        TrashDatabase(1, DB_GONE, "db", time_ns),
    ]


def test_table_is_deleted_and_triggers_stay() -> None:
    changes = [TrashTable(2, CPU_GONE, "cpu", NOW_NS + 1000)]

    assert delete_table("db", "cpu", NOW_NS, SOON)(ONE) == changes
    assert list(NO_TABLE.triggers) == [4]


def test_two_deletions_of_one_second_get_two_names() -> None:
    delete = delete_database("db", NOW_NS, SOON)
    catalog = _after(NO_DATABASE, create_database("db"), delete, create_database("db"), delete)

    names = [trashed.name for trashed in catalog.trash.values()]
    assert names == [DB_GONE, f"{DB_GONE}-2", f"{DB_GONE}-3"]


def test_two_tables_of_one_second_get_two_names() -> None:
    create, delete = create_table("db", "cpu", []), delete_table("db", "cpu", NOW_NS, SOON)

    catalog = _after(NO_TABLE, create, delete)

    assert [item.name for item in catalog.trash.values()] == [CPU_GONE, f"{CPU_GONE}-2"]


@pytest.mark.parametrize(
    ("catalog", "decide", "error", "message"),
    [
        (
            ONE,
            delete_database("_internal", NOW_NS, NOW),
            InternalDatabase,
            "cannot delete internal db",
        ),
        (
            ONE,
            delete_table("_internal", "x", NOW_NS, NOW),
            InternalDatabase,
            "cannot delete internal db",
        ),
        (
            ONE,
            delete_database("nope", NOW_NS, NOW),
            NotFound,
            "the requested resource was not found: nope",
        ),
        (ONE, delete_table("nope", "cpu", NOW_NS, NOW), NotFound, "not found: nope"),
        (ONE, delete_table("db", "nope", NOW_NS, NOW), NotFound, "not found: nope"),
        (
            NO_DATABASE,
            delete_database("db", NOW_NS, SOON),
            AlreadyDeleted,
            "attempted to modify resource that was already deleted: db$",
        ),
        (NO_DATABASE, delete_table("db", "cpu", NOW_NS, NOW), AlreadyDeleted, "deleted: db$"),
        (NO_DATABASE, delete_table(DB_GONE, "cpu", NOW_NS, NOW), AlreadyDeleted, DB_GONE),
        (NO_TABLE, delete_table("db", "cpu", NOW_NS, SOON), AlreadyDeleted, "deleted: cpu$"),
        (NO_TABLE, delete_table("db", CPU_GONE, NOW_NS, SOON), AlreadyDeleted, CPU_GONE),
        (NO_DATABASE, create_database(DB_GONE), AlreadyExists, "already exists"),
        (NO_DATABASE, set_retention_of(DB_GONE, 5), AlreadyDeleted, DB_GONE),
        (NO_DATABASE, create_table(DB_GONE, "x", []), SoftDeletedDatabase, DB_GONE),
        (NO_TABLE, create_table("db", CPU_GONE, []), AlreadyDeleted, CPU_GONE),
        (
            NO_DATABASE,
            create_trigger(NewTrigger("db", "t", "p", AllTablesSpec()), start=1, now_ns=1),
            TriggerDatabaseNotFound,
            "Database not found db",
        ),
    ],
)
def test_what_cannot_be_is_refused(
    catalog: Catalog, decide: Decide, error: type[EngineError], message: str
) -> None:
    with pytest.raises(error, match=message):
        decide(catalog)


def test_write_to_a_deleted_database_is_refused_under_its_new_name_only() -> None:
    text = f"cannot write to soft-deleted database '{DB_GONE}' - it is marked for deletion"

    with pytest.raises(SoftDeletedDatabase, match=text):
        create_missing(NO_DATABASE, DB_GONE, {"cpu": [HOST]})
    assert create_missing(NO_DATABASE, "db", {}) == [CreateDatabase(5, "db")]


@pytest.mark.parametrize(
    ("hard_delete", "time_ns"),
    [(Never(), None), (NOW, NOW_NS + 9), (At(NOW_NS + 500), NOW_NS + 500), (At(3), NOW_NS + 9)],
)
def test_time_of_removal_changes_under_the_new_name(
    hard_delete: HardDelete, time_ns: int | None
) -> None:
    later_ns = NOW_NS + 9

    database = delete_database(DB_GONE, later_ns, hard_delete)(NO_DATABASE)
    table = delete_table("db", CPU_GONE, later_ns, hard_delete)(NO_TABLE)

    assert database == [TrashDatabase(1, DB_GONE, "db", time_ns)]
    assert table == [TrashTable(2, CPU_GONE, "cpu", time_ns)]
    assert _after(NO_TABLE, lambda _: table).trash[2].hard_delete_ns == time_ns


@pytest.mark.parametrize(
    ("planned", "again"),
    [
        (Never(), Never()),
        (NOW, NOW),
        (NOW, At(3)),
        (NOW, SOON),
        (SOON, After(7)),
        (At(NOW_NS + 70), At(NOW_NS + 70)),
    ],
)
def test_removal_that_is_planned_is_not_planned_again(
    planned: HardDelete, again: HardDelete
) -> None:
    catalog = _after(ONE, delete_database("db", NOW_NS, planned))

    with pytest.raises(AlreadyDeleted):
        delete_database(DB_GONE, NOW_NS + 1, again)(catalog)


def test_only_what_is_due_is_purged() -> None:
    catalog = _after(
        NO_TABLE,
        delete_table("db", "mem", NOW_NS, Never()),
        create_database("other"),
        delete_database("other", NOW_NS, NOW),
    )

    assert purge_due(NOW_NS)(catalog) == [PurgeDatabase(5)]
    assert purge_due(NOW_NS + 1000)(catalog) == [PurgeDatabase(5), PurgeTable(2)]
    assert purge_due(NOW_NS - 1)(catalog) == []
    assert list(_after(catalog, purge_due(2 * NOW_NS)).trash) == [3]


def test_trashed_table_of_a_purged_database_is_purged_with_it() -> None:
    catalog = _after(NO_TABLE, delete_database("db", NOW_NS, SOON))

    assert purge_due(NOW_NS + 1000)(catalog) == [PurgeDatabase(1)]
    assert _after(catalog, purge_due(NOW_NS + 1000)).trash == {}


@pytest.mark.parametrize(
    ("text", "hard_delete"),
    [
        ("never", Never()),
        ("now", NOW),
        ("default", SOON),
        ("1970-01-01T00:00:01Z", At(10**9)),
        ("2025-01-01T02:00:00.25+02:00", At(1_735_689_600_250_000_000)),
        ("1969-12-31T23:59:59Z", At(-(10**9))),
    ],
)
def test_time_of_removal_is_read(text: str, hard_delete: HardDelete) -> None:
    assert parse_hard_delete(text, SOON) == hard_delete


@pytest.mark.parametrize("text", ["", "soon", "2025-01-01T00:00:00", "2025-13-01T00:00:00Z"])
def test_other_times_of_removal_are_refused(text: str) -> None:
    with pytest.raises(InvalidParameter, match="invalid hard delete time"):
        parse_hard_delete(text, SOON)
