"""Files and the trash, as the fold keeps them."""

import time
from collections.abc import Callable

import pytest

from engine.catalog.change import (
    AddColumns,
    AddFiles,
    Change,
    CreateDatabase,
    CreateTable,
    CreateTrigger,
    PurgeDatabase,
    PurgeTable,
    ReplaceFiles,
    SetPersisted,
    SetRetention,
    TrashDatabase,
    TrashTable,
)
from engine.catalog.fold import apply, apply_all
from engine.catalog.state import Catalog, Table
from engine.errors import DatabaseNotFound, InconsistentChange
from engine.model.file import ParquetFile
from engine.model.schema import Column, ColumnType
from engine.model.trigger import AllTablesSpec, Trigger, TriggerSettings

HOST = Column("host", ColumnType.TAG)
LOAD = Column("load", ColumnType.FLOAT)
EMPTY = Catalog.empty("u")


def _file(name: str, order: int, min_ns: int = 0) -> ParquetFile:
    return ParquetFile(name, 10, 1000, 7, min_ns, min_ns + 9, order)


def _after(catalog: Catalog, *changes: Change) -> Catalog:
    return apply_all(catalog, changes, catalog.number + 1)


def _table(catalog: Catalog, table_id: int) -> Table:
    table = catalog.table_by_id(table_id)
    assert table is not None
    return table


ONE = _after(
    EMPTY,
    CreateDatabase(1, "db", 5),
    CreateTable(2, 1, "cpu", (HOST,)),
    CreateTable(3, 1, "mem", (HOST,)),
    AddFiles(2, (_file("a", 10), _file("b", 10, 50)), 11),
)
NO_TABLE = _after(ONE, TrashTable(2, "cpu-gone", "cpu", 99))
NO_DATABASE = _after(NO_TABLE, TrashDatabase(1, "db-gone", "db", None))


def test_files_are_kept_in_order_of_age_and_time() -> None:
    catalog = _after(ONE, AddFiles(2, (_file("d", 12), _file("c", 11)), 20))

    table = catalog.database("db").tables["cpu"]
    assert [file.path for file in table.files] == ["a", "b", "c", "d"]
    assert table.persisted_to == 20
    assert ONE.database("db").tables["cpu"].persisted_to == 11


def test_table_may_be_persisted_without_files() -> None:
    table = _table(_after(ONE, AddFiles(3, (), 30)), 3)

    assert (table.files, table.persisted_to) == ((), 30)


def test_files_give_way_to_others() -> None:
    catalog = _after(ONE, ReplaceFiles(2, ("a", "b"), (_file("ab", 10),)))

    table = _table(catalog, 2)
    assert [file.path for file in table.files] == ["ab"]
    assert table.persisted_to == 11
    assert _table(_after(catalog, ReplaceFiles(2, ("ab",), ())), 2).files == ()


def test_mark_of_the_catalog_rises() -> None:
    assert EMPTY.persisted_to == 1
    assert _after(ONE, SetPersisted(8)).persisted_to == 8


def test_deleted_table_is_found_by_id_only() -> None:
    assert list(NO_TABLE.database("db").tables) == ["mem"]
    assert _table(NO_TABLE, 2).name == "cpu-gone"
    assert _table(NO_TABLE, 2).files == _table(ONE, 2).files
    assert (NO_TABLE.is_live(2), NO_TABLE.is_live(3)) == (False, True)
    assert NO_TABLE.table_count == 1
    trashed = NO_TABLE.trash[2]
    assert (trashed.name, trashed.original, trashed.hard_delete_ns) == ("cpu-gone", "cpu", 99)
    assert NO_TABLE.trashed_named("cpu-gone", 1) is trashed
    assert NO_TABLE.trashed_named("cpu-gone") is None


def test_deleted_database_is_found_by_id_only() -> None:
    assert list(NO_DATABASE.databases) == ["_internal"]
    assert NO_DATABASE.database_by_id(1).name == "db-gone"
    assert _table(NO_DATABASE, 3).name == "mem"
    assert _table(NO_DATABASE, 2).name == "cpu-gone"
    assert not any(map(NO_DATABASE.is_live, (2, 3)))
    assert NO_DATABASE.table_count == 0
    assert NO_DATABASE.trashed_named("db-gone") is NO_DATABASE.trash[1]
    with pytest.raises(DatabaseNotFound):
        NO_DATABASE.database("db")


def test_id_of_a_trashed_table_is_no_database() -> None:
    with pytest.raises(DatabaseNotFound, match="id 2"):
        NO_TABLE.database_by_id(2)


def test_names_of_the_deleted_are_free_again() -> None:
    catalog = _after(NO_TABLE, CreateTable(4, 1, "cpu", (LOAD,)))
    catalog = _after(catalog, TrashDatabase(1, "db-gone", "db", 7), CreateDatabase(5, "db"))

    assert catalog.database("db").id == 5
    assert catalog.database_by_id(1).tables["cpu"].id == 4
    assert _table(catalog, 2).schema.columns == (HOST,)
    assert catalog.next_id == 6


@pytest.mark.parametrize("table_id", [2, 3])
def test_rows_of_deleted_tables_still_go_to_files(table_id: int) -> None:
    added = AddFiles(table_id, (_file("z", 90),), 91)

    catalog = _after(NO_DATABASE, added, ReplaceFiles(table_id, ("z",), (_file("y", 90),)))

    assert _table(catalog, table_id).files[-1].path == "y"
    assert _table(catalog, table_id).persisted_to == 91
    assert not catalog.is_live(table_id)


def test_removal_is_put_off_under_the_same_name() -> None:
    catalog = _after(NO_TABLE, TrashTable(2, "cpu-gone", "cpu", 500))

    assert catalog.trash[2].hard_delete_ns == 500
    assert catalog.trash[2].object == NO_TABLE.trash[2].object


def test_purged_table_is_gone() -> None:
    catalog = _after(NO_TABLE, PurgeTable(2))

    assert catalog.table_by_id(2) is None
    assert catalog.trash == {}


def test_purged_database_takes_its_trashed_tables_along() -> None:
    catalog = _after(NO_DATABASE, PurgeDatabase(1))

    assert catalog.trash == {}
    assert catalog.table_by_id(2) is None
    assert catalog.table_by_id(3) is None
    with pytest.raises(DatabaseNotFound):
        catalog.database_by_id(1)


_TRIGGER = Trigger(4, 1, "t", "p.py", AllTablesSpec(), TriggerSettings(), None, False, 1)


@pytest.mark.parametrize(
    ("catalog", "change"),
    [
        (ONE, AddFiles(9, (), 1)),
        (ONE, AddFiles(2, (_file("a", 12),), 12)),
        (ONE, AddFiles(2, (_file("c", 12), _file("c", 12)), 12)),
        (ONE, AddFiles(2, (), 10)),
        (ONE, ReplaceFiles(2, ("a", "c"), ())),
        (ONE, ReplaceFiles(2, ("a", "a"), ())),
        (ONE, ReplaceFiles(2, ("a",), (_file("b", 10),))),
        (ONE, ReplaceFiles(3, ("a",), ())),
        (ONE, SetPersisted(0)),
        (ONE, TrashDatabase(0, "x", "_internal", None)),
        (ONE, TrashDatabase(1, "_internal", "db", None)),
        (ONE, TrashDatabase(9, "x", "y", None)),
        (_after(ONE, CreateTrigger(_TRIGGER)), TrashDatabase(1, "x", "db", None)),
        (ONE, TrashTable(2, "mem", "cpu", None)),
        (NO_TABLE, TrashTable(3, "cpu-gone", "mem", None)),
        (NO_TABLE, TrashTable(2, "other", "cpu", None)),
        (NO_TABLE, TrashDatabase(2, "cpu-gone", "cpu", None)),
        (NO_TABLE, CreateTable(5, 1, "cpu-gone", ())),
        (NO_TABLE, PurgeDatabase(2)),
        (NO_DATABASE, TrashTable(3, "mem-gone", "mem", None)),
        (NO_DATABASE, CreateDatabase(5, "db-gone")),
        (NO_DATABASE, CreateTable(5, 1, "x", ())),
        (NO_DATABASE, SetRetention(1, 5)),
        (NO_DATABASE, CreateTrigger(_TRIGGER)),
        (NO_DATABASE, PurgeTable(1)),
        (NO_DATABASE, PurgeTable(3)),
        (ONE, PurgeDatabase(1)),
        (ONE, PurgeTable(2)),
    ],
)
def test_change_that_does_not_fit_is_refused(catalog: Catalog, change: Change) -> None:
    with pytest.raises(InconsistentChange):
        apply(catalog, change)


def _fastest_s(act: Callable[[], object]) -> float:
    def seconds() -> float:
        started = time.perf_counter()
        act()
        return time.perf_counter() - started

    return min(seconds() for _ in range(20))


def test_table_with_hundreds_of_files_among_many_is_changed_within_a_millisecond() -> None:
    tables = [CreateTable(n, 1, f"t{n}", (HOST,)) for n in range(2, 2002)]
    many = tuple(_file(f"parquet/1/7/2025-01-01/{n}.parquet", n) for n in range(500))
    files = [AddFiles(n, many, 500) for n in range(2, 102)]
    catalog = _after(EMPTY, CreateDatabase(1, "db"), *tables, *files)
    added = AddFiles(7, (_file("new", 500),), 501)
    replaced = ReplaceFiles(7, (many[0].path, many[1].path), (_file("merged", 1),))

    assert _fastest_s(lambda: apply(catalog, added)) < 0.001
    assert _fastest_s(lambda: apply(catalog, replaced)) < 0.001
    assert _fastest_s(lambda: apply(catalog, AddColumns(7, (LOAD,)))) < 0.001
