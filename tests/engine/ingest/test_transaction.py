"""What a plugin run writes, and to which databases."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

import pytest

from engine.catalog.commands import create_database
from engine.catalog.deletion import NOW, delete_database
from engine.catalog.missing import create_missing
from engine.catalog.objects import LocalObjects
from engine.catalog.store import CatalogStore
from engine.clock import ManualClock
from engine.ingest.transaction import PluginWriter, RunIdentity, WriteRefused
from engine.ingest.writer import Writer
from engine.model.entry import Entry, IdempotenceKey, Position, Run, RunEntry, WriteEntry
from engine.model.event import BufferedLines
from engine.model.schema import Column, ColumnType

NOW_NS = 1_700_000_000_000_000_000
COLUMNS = (Column("v", ColumnType.FLOAT),)


class Kept:
    """Takes entries."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def submit(self, entry: Entry) -> Future[int]:
        self.entries.append(entry)
        done: Future[int] = Future()
        done.set_result(len(self.entries))
        return done


class Place:
    """A catalog with one database, whose trigger runs, and the way of its run to the log."""

    def __init__(self, root: Path) -> None:
        self.catalog = CatalogStore.open(LocalObjects(root))
        self.catalog.update(create_database("db"))
        self.kept = Kept()
        writer = Writer(
            self.catalog,
            self.kept,
            ManualClock(NOW_NS),
            buffered_bytes=lambda: 0,
            hot_buffer_bytes=1_000_000,
            max_pending_bytes=1000,
        )
        self.plugin = PluginWriter(writer)
        database = self.catalog.catalog.database("db")
        self.who = RunIdentity(Run(7, "r"), "db", database.id, (4, 7))

    def commit(self, *lines: BufferedLines) -> int:
        return self.plugin.commit_run(self.who, lines, Position(5))

    def write_now(self, *lines: BufferedLines) -> None:
        for part in lines:
            self.plugin.write_now(self.who, part, None)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_all_lines_of_a_run_and_its_progress_are_one_entry(place: Place) -> None:
    rows = place.commit(
        BufferedLines(None, "a v=1 1"),
        BufferedLines("other", "b v=1 1"),
        BufferedLines("db", "a v=2 2\na v=3 3"),
    )

    (entry,) = place.kept.entries
    assert isinstance(entry, RunEntry)
    assert (entry.origin, entry.causes, entry.progress) == (place.who.run, (4, 7), Position(5))
    catalog = place.catalog.catalog
    tables = [(catalog.table_by_id(t.table_id), t.rows.num_rows) for t in entry.tables]
    assert [(table.name, count) for table, count in tables if table] == [("a", 3), ("b", 1)]
    assert rows == 4


def test_one_bad_line_makes_the_whole_run_fail(place: Place) -> None:
    lines = [BufferedLines("other", "b v=1"), BufferedLines(None, "a v=1\na nonsense")]

    with pytest.raises(WriteRefused, match="error writing back lines to db: Cannot write"):
        place.commit(*lines)

    assert place.kept.entries == []


def test_a_synchronous_write_carries_its_key_and_its_cause(place: Place) -> None:
    key = IdempotenceKey(7, 3, 5, 0)

    place.plugin.write_now(place.who, BufferedLines(None, "a v=1"), key)

    (entry,) = place.kept.entries
    assert isinstance(entry, WriteEntry)
    assert (entry.origin, entry.causes, entry.key) == (place.who.run, (4, 7), key)


@pytest.mark.parametrize("database", ["_internal", "bad name"])
def test_a_plugin_cannot_write_everywhere(place: Place, database: str) -> None:
    with pytest.raises(WriteRefused, match=f"line protocol to {database}: "):
        place.write_now(BufferedLines(database, "a v=1"))

    assert place.kept.entries == []


@pytest.mark.parametrize("table", [None, "a", "b"])  # of a database that has taken the name
@pytest.mark.parametrize("target", [None, "db"])
@pytest.mark.parametrize("write", [Place.commit, Place.write_now])
def test_a_run_does_not_bring_back_the_database_that_was_deleted_under_it(
    place: Place, write: Callable[..., object], target: str | None, table: str | None
) -> None:
    place.catalog.update(delete_database("db", NOW_NS, NOW))
    if table is not None:
        place.catalog.update(lambda catalog: create_missing(catalog, "db", {table: COLUMNS}))
    before = place.catalog.catalog

    with pytest.raises(WriteRefused, match="database not found: db"):
        write(place, BufferedLines(target, "a v=1 1"))

    assert place.catalog.catalog == before
    assert place.kept.entries == []
