from engine.catalog.change import (
    AddFiles,
    CreateDatabase,
    CreateTable,
    ReplaceFiles,
    SetPersisted,
    TrashTable,
)
from engine.catalog.filing import add_files, replace_files, set_persisted
from engine.catalog.fold import apply_all
from engine.catalog.state import Catalog
from engine.model.file import ParquetFile

A, B, C = (ParquetFile(name, 1, 1, 1, 1, 1, 4) for name in "abc")
ONE = apply_all(
    Catalog.empty("u"),
    [CreateDatabase(1, "db"), CreateTable(2, 1, "cpu", ()), AddFiles(2, (A, B), 5)],
    1,
)
TRASHED = apply_all(ONE, [TrashTable(2, "gone", "cpu", None)], 2)


def test_files_of_tables_are_added_be_they_in_the_trash() -> None:
    for catalog in (ONE, TRASHED):
        assert add_files(2, [C], 9)(catalog) == [AddFiles(2, (C,), 9)]
        assert add_files(2, [], 9)(catalog) == [AddFiles(2, (), 9)]


def test_nothing_new_or_no_table_adds_nothing() -> None:
    assert add_files(2, [], 5)(ONE) == []
    assert add_files(7, [C], 9)(ONE) == []


def test_files_are_replaced_when_all_are_there() -> None:
    assert replace_files(2, ["a", "b"], [C])(ONE) == [ReplaceFiles(2, ("a", "b"), (C,))]
    assert replace_files(2, ["a"], [])(TRASHED) == [ReplaceFiles(2, ("a",), ())]
    assert replace_files(2, ["a", "c"], [B])(ONE) == []
    assert replace_files(7, ["a"], [C])(ONE) == []
    assert replace_files(2, [], [])(ONE) == []


def test_mark_of_the_catalog_only_rises() -> None:
    catalog = apply_all(ONE, [SetPersisted(8)], 2)

    assert set_persisted(9)(catalog) == [SetPersisted(9)]
    assert set_persisted(8)(catalog) == []
    assert set_persisted(7)(catalog) == []
