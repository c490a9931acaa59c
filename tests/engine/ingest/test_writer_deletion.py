"""Writes to what is being deleted, or was."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from pathlib import Path

import pytest

from engine.catalog.deletion import NOW, delete_database, delete_table, purge_due
from engine.catalog.objects import LocalObjects
from engine.catalog.store import CatalogStore
from engine.clock import ManualClock
from engine.errors import AlreadyDeleted, EngineError, SoftDeletedDatabase
from engine.ingest.writer import Writer
from engine.lineprotocol import Precision
from engine.model.entry import Entry

NOW_NS = 1_700_000_000_000_000_000


class _NoLog:
    """Takes no entries: these tests only prepare them."""

    def submit(self, entry: Entry) -> Future[int]:
        raise AssertionError(entry)


@pytest.fixture
def catalog(tmp_path: Path) -> CatalogStore:
    return CatalogStore.open(LocalObjects(tmp_path))


@pytest.fixture
def writer(catalog: CatalogStore) -> Writer:
    return Writer(
        catalog,
        _NoLog(),
        ManualClock(NOW_NS),
        buffered_bytes=lambda: 0,
        hot_buffer_bytes=1_000_000,
        max_pending_bytes=1000,
    )


def _prepare(writer: Writer, database: str, line: str) -> int:
    prepared = writer.prepare(database, line, Precision.NANOSECOND, accept_partial=True)
    (table,) = prepared.tables
    return table.table_id


def test_write_to_a_deleted_database_makes_a_new_one(catalog: CatalogStore, writer: Writer) -> None:
    before = _prepare(writer, "db", "cpu v=1 1")
    catalog.update(delete_database("db", NOW_NS, NOW))

    after = _prepare(writer, "db", 'cpu v="another type" 1')

    assert after > before
    assert catalog.catalog.is_live(after)
    assert not catalog.catalog.is_live(before)


def test_write_to_a_name_in_the_trash_is_refused(catalog: CatalogStore, writer: Writer) -> None:
    _prepare(writer, "db", "cpu v=1 1")
    catalog.update(delete_table("db", "cpu", NOW_NS, NOW))
    catalog.update(delete_database("db", NOW_NS, NOW))
    _prepare(writer, "db", "cpu v=1 1")
    catalog.update(delete_table("db", "cpu", NOW_NS, NOW))

    with pytest.raises(SoftDeletedDatabase, match="it is marked for deletion"):
        _prepare(writer, "db-20231114T221320", "cpu v=1 1")
    with pytest.raises(AlreadyDeleted, match="cpu-20231114T221320"):
        _prepare(writer, "db", "cpu-20231114T221320 v=1 1")


def test_writes_during_deletions_go_to_what_was_or_what_is_new(
    catalog: CatalogStore, writer: Writer
) -> None:
    stop = threading.Event()

    def delete() -> None:
        while not stop.is_set():
            for decide in (
                delete_table("db", "cpu", NOW_NS, NOW),
                delete_database("db", NOW_NS, NOW),
                purge_due(NOW_NS),
            ):
                try:
                    catalog.update(decide)
                except EngineError:
                    continue  # there is nothing to delete just now

    thread = threading.Thread(target=delete)
    thread.start()
    ids: list[int] = []
    try:
        while len(set(ids)) < 6:
            ids.append(_prepare(writer, "db", "cpu v=1 1"))
    finally:
        stop.set()
        thread.join()

    assert sorted(ids) == ids
