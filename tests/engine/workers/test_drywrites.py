from __future__ import annotations

from pathlib import Path

import pytest

from engine.catalog.missing import create_missing
from engine.catalog.objects import LocalObjects
from engine.catalog.store import CatalogStore
from engine.model.event import BufferedLines
from engine.model.schema import Column, ColumnType
from engine.workers.drywrites import write_errors, writes_by_database


@pytest.fixture
def store(tmp_path: Path) -> CatalogStore:
    store = CatalogStore.open(LocalObjects(tmp_path))
    columns = {"cpu": (Column("v", ColumnType.FLOAT),)}
    store.update(lambda catalog: create_missing(catalog, "db", columns))
    return store


def test_lines_stand_by_database_in_the_order_of_the_calls() -> None:
    parts = [
        BufferedLines(None, "a v=1"),
        BufferedLines("other", "b v=1\nc v=2\n"),
        BufferedLines("db", 'd s="two\nlines"'),
    ]

    assert writes_by_database(parts, "db") == {
        "db": ("a v=1", 'd s="two\nlines"'),
        "other": ("b v=1", "c v=2"),
    }


def test_good_lines_have_no_errors(store: CatalogStore) -> None:
    assert write_errors(store.catalog, {"db": ["cpu v=1 5"], "new": ["t x=1i"]}, 0) == ()


def test_a_bad_line_is_worded_as_core_does(store: CatalogStore) -> None:
    (error,) = write_errors(store.catalog, {"db": ["cpu v=1", 'say"hi']}, 0)

    assert error == (
        "line protocol parse error on write to db db: WriteLineError { "
        'original_line: "say\\"hi", line_number: 2, error_message: "No fields were provided" }'
    )


def test_of_very_many_bad_lines_the_first_are_shown(store: CatalogStore) -> None:
    errors = write_errors(store.catalog, {"db": ["bad"] * 250}, 0)

    assert len(errors) == 101
    assert errors[-1] == "150 more lines for db db are bad"


def test_the_stored_schema_counts(store: CatalogStore) -> None:
    (error,) = write_errors(store.catalog, {"db": ["cpu v=true"]}, 0)

    assert "invalid column type for column 'v'" in error


def test_a_name_that_no_database_can_have_is_an_error(store: CatalogStore) -> None:
    (error,) = write_errors(store.catalog, {"no db": ["cpu v=1"]}, 0)

    assert error.startswith("database name no db is invalid: database name 'no db' contains")


def test_no_line_at_all_is_an_error(store: CatalogStore) -> None:
    assert write_errors(store.catalog, {"db": []}, 0) == (
        "Failed to validate output lines to db db: incoming write was empty",
    )
