from __future__ import annotations

import logging
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from engine.catalog.deletion import At, delete_table, purge_due
from engine.config import StorageConfig
from engine.errors import DiskFailed
from tests.persisting import Site

DAY_NS = 86_400 * 10**9


def row(time: int, **fields: object) -> dict[str, object]:
    return {"host": "a", "usage": 1.0, "time": time, **fields}


def test_rows_go_from_memory_to_a_file_and_are_read_as_before(site: Site) -> None:
    site.create("cpu", "mem")
    site.write([row(1), row(2)])
    site.write([row(1, usage=None, note="late")])
    site.write([row(9)], "mem")
    before = site.points()

    site.persister.persist_all()

    assert site.points() == before
    assert before["a", 1] == {"host": "a", "usage": 1.0, "note": "late", "time": 1}
    assert site.buffer.tables() == ()
    assert [file.rows for file in site.table().files] == [2]
    assert (site.table().persisted_to, site.table("mem").persisted_to) == (3, 4)
    assert site.catalog.catalog.persisted_to == site.buffer.end == 4
    assert site.buffer.snapshot(site.table().id, site.table().schema).start == 3
    assert site.persisted == 1
    assert site.paths_on_disk() == {f.path for n in ("cpu", "mem") for f in site.table(n).files}


def test_the_mark_of_the_catalog_stands_at_the_oldest_row_in_memory(
    tmp_path: Path, site: Site
) -> None:
    site.create("cpu", "mem")
    site.write([row(1)], "mem")
    site.write([row(2)])
    loads = [load for load in site.buffer.tables() if load.table_id == site.table().id]
    site.persister._round(loads)  # noqa: SLF001

    assert site.catalog.catalog.persisted_to == 1
    assert site.table().persisted_to == 3
    site.persister.persist_all()
    assert site.catalog.catalog.persisted_to == 3


def test_nothing_to_persist_makes_no_commit(site: Site) -> None:
    site.create("cpu")
    number = site.catalog.catalog.number

    site.persister.persist_all()

    assert site.catalog.catalog.number == number


def test_rows_past_their_retention_are_left_out(site: Site) -> None:
    site.create("cpu", retention_ns=DAY_NS)
    now = site.clock.now_ns()
    site.write([row(now - 2 * DAY_NS), row(now - 10)])
    site.persister.persist_all()
    site.write([row(now - 3 * DAY_NS)])
    site.persister.persist_all()

    assert [(file.rows, file.min_ns) for file in site.table().files] == [(1, now - 10)]
    assert site.table().persisted_to == 3


def test_many_rows_of_few_days_are_cut_at_midnight_and_others_are_not(site: Site) -> None:
    site.create("cpu", "mem")
    full = [row(day * DAY_NS + n) for day in range(2) for n in range(50_000)]
    site.write(full)
    site.write([row(day * DAY_NS) for day in range(3)], "mem")

    site.persister.persist_all()

    assert [(f.rows, f.path.split("/")[3]) for f in site.table().files] == [
        (50_000, "1970-01-01"),
        (50_000, "1970-01-02"),
    ]
    assert [file.rows for file in site.table("mem").files] == [3]


@pytest.mark.parametrize(
    "place", ["storage.file_written", "storage.file_synced", "storage.file_renamed"]
)
def test_a_full_disk_loses_nothing_and_heals(site: Site, failing: list[str], place: str) -> None:
    site.create("cpu", "mem")
    site.write([row(1)])
    site.write([row(2)], "mem")
    before = site.points()
    failing.append(place)

    with pytest.raises(DiskFailed, match="No space left"):
        site.persister.persist_all()
    assert site.points() == before
    assert site.paths_on_disk() == set()
    assert site.catalog.catalog.persisted_to == 1
    failing.clear()
    site.persister.persist_all()
    assert site.points() == before
    assert len(site.table().files) == 1


def test_a_commit_that_fails_is_tried_again_with_the_same_files(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.create("cpu")
    site.write([row(1)])

    def refuse(_decide: object) -> None:
        raise DiskFailed("no space")

    with monkeypatch.context() as patch:
        patch.setattr(site.catalog, "update", refuse)
        for _ in range(3):
            with pytest.raises(DiskFailed):
                site.persister.persist_all()
    written = site.paths_on_disk()
    site.write([row(2)])
    site.persister.persist_all()

    assert len(written) == 1
    assert [file.rows for file in site.table().files] == [1, 1]
    assert written <= site.paths_on_disk()
    assert set(site.points()) == {("a", 1), ("a", 2)}


def test_a_table_that_is_gone_takes_its_rows_along(site: Site) -> None:
    site.create("cpu")
    site.write([row(1)])
    now = site.clock.now_ns()
    site.catalog.update(delete_table("db", "cpu", now, At(now)))
    site.catalog.update(purge_due(now))

    site.persister.persist_all()

    assert site.buffer.tables() == ()
    assert site.paths_on_disk() == set()


def test_rows_of_a_deleted_table_are_persisted_until_it_is_removed(site: Site) -> None:
    site.create("cpu")
    site.write([row(1)])
    table_id, now = site.table().id, site.clock.now_ns()
    site.catalog.update(delete_table("db", "cpu", now, At(now + 10**9)))

    site.persister.persist_all()

    found = site.catalog.catalog.table_by_id(table_id)
    assert found is not None
    assert [file.rows for file in found.files] == [1]


def test_a_large_table_goes_in_parts(tmp_path: Path) -> None:
    site = Site(tmp_path, replace(StorageConfig(), persist_bytes=1000))
    site.create("cpu")
    for start in range(0, 200_000, 40_000):
        site.write([row(n) for n in range(start, start + 40_000)])

    site.persister.persist_all()

    assert [file.rows for file in site.table().files] == [40_000] * 5
    assert len(site.points()) == 200_000


def test_the_service_persists_when_it_is_told_and_when_rows_are_old(tmp_path: Path) -> None:
    config = StorageConfig(persist_bytes=20_000, persist_age_s=0.05)
    site = Site(tmp_path, config)
    site.create("cpu")
    done = threading.Semaphore(0)
    site.persister._on_persisted = done.release  # type: ignore[assignment]  # noqa: SLF001
    site.persister.start()
    try:
        site.write([row(n, note="x" * 10) for n in range(500)])
        site.persister.note()
        assert done.acquire(timeout=10)
        site.write([row(1000)])
        site.clock.advance(0.1)
        site.persister.note()
        assert done.acquire(timeout=10)
    finally:
        assert site.persister.stop()
    assert len(site.points()) == 501
    assert site.buffer.tables() == ()


def test_the_service_logs_a_full_disk_once_and_stops_at_once(
    site: Site, failing: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    site.create("cpu")
    site.write([row(1)])
    site.clock.advance(10_000)
    failing.append("storage.file_written")
    failed = threading.Event()

    class Seen(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            failed.set()

    handler = Seen(logging.ERROR)
    logging.getLogger("engine.upkeep.pause").addHandler(handler)
    site.persister.start()
    try:
        assert failed.wait(10)
        for _ in range(50):
            site.persister.note()
    finally:
        assert site.persister.stop()
        logging.getLogger("engine.upkeep.pause").removeHandler(handler)

    assert sum("cannot be put into files" in r.message for r in caplog.records) == 1
    assert len(site.points()) == 1


@pytest.mark.parametrize(
    "place",
    [
        "storage.file_written",
        "storage.file_renamed",
        "persist.table_written",
        "persist.catalog_committed",
        "persist.buffer_dropped",
    ],
)
def test_what_a_kill_leaves_is_swept_and_every_row_is_there_once(
    tmp_path: Path, dying: list[str], place: str
) -> None:
    site = Site(tmp_path)
    site.create("cpu")
    site.write([row(1), row(2)])
    expected = site.points()
    dying.append(place)
    with pytest.raises(SystemExit):
        site.persister.persist_all()
    dying.clear()

    again = Site(tmp_path)
    table = again.table()
    again.files.sweep({file.path for file in table.files})
    again.buffer.start_at(table.database_id, table.id, table.persisted_to)
    again.write([row(1), row(2)])  # the log is read again

    assert again.points() == expected
    assert again.paths_on_disk() == {file.path for file in table.files}
    again.persister.persist_all()
    assert again.points() == expected
