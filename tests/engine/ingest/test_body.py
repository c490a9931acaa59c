from __future__ import annotations

from pathlib import Path

import pytest

from engine.catalog.missing import create_missing
from engine.catalog.objects import LocalObjects
from engine.catalog.store import CatalogStore
from engine.ingest.body import rehearse
from engine.model.schema import Column, ColumnType


@pytest.fixture
def store(tmp_path: Path) -> CatalogStore:
    store = CatalogStore.open(LocalObjects(tmp_path))
    columns = {"cpu": (Column("v", ColumnType.FLOAT),)}
    store.update(lambda catalog: create_missing(catalog, "db", columns))
    return store


def test_lines_without_a_time_get_the_time_given(store: CatalogStore) -> None:
    rehearsal = rehearse(store.catalog, "db", "cpu v=1 5\ncpu v=2", now_ns=7)

    times = rehearsal.tables["cpu"].column("time").cast("int64").to_pylist()
    assert (times, rehearsal.rejected) == ([5, 7], ())


def test_a_line_that_does_not_fit_the_stored_schema_is_named(store: CatalogStore) -> None:
    rehearsal = rehearse(store.catalog, "db", "new x=1i\nbad\ncpu v=true", now_ns=0)

    assert list(rehearsal.tables) == ["new"]
    assert [(line.number, line.text) for line in rehearsal.rejected] == [
        (2, "bad"),
        (3, "cpu v=true"),
    ]


def test_a_database_need_not_exist_and_nothing_is_made(store: CatalogStore) -> None:
    before = store.catalog

    assert list(rehearse(before, "nowhere", "cpu v=true", now_ns=0).tables) == ["cpu"]
    assert store.catalog is before
