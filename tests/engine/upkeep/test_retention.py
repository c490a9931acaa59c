from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from engine.catalog.commands import set_retention
from engine.catalog.deletion import At, Never, delete_database, delete_table
from engine.errors import DatabaseNotFound
from engine.upkeep.retention import Retention
from tests.persisting import Row, Site

DAY_NS = 86_400 * 10**9


def row(time: int) -> Row:
    return {"host": "a", "usage": 1.0, "time": time}


def persist(site: Site, *times: int) -> None:
    site.write([row(time) for time in times])
    site.persister.persist_all()


def test_files_wholly_past_the_cutoff_go_and_others_stay(site: Site) -> None:
    site.create("cpu", retention_ns=None)
    now = site.clock.now_ns()
    persist(site, now - 3 * DAY_NS, now - 2 * DAY_NS)
    persist(site, now - 2 * DAY_NS, now)
    site.retention.check()
    assert len(site.table().files) == 2
    site.catalog.update(set_retention("db", DAY_NS))

    site.retention.check()

    assert [file.max_ns for file in site.table().files] == [now]
    assert site.paths_on_disk() == {site.table().files[0].path}
    number = site.catalog.catalog.number
    site.retention.check()
    assert site.catalog.catalog.number == number


def test_a_deleted_table_goes_with_files_and_rows_when_it_is_due(site: Site) -> None:
    site.create("cpu", "mem")
    gone: list[Sequence[int]] = []
    retention = Retention(
        site.catalog,
        site.buffer,
        site.files,
        site.clock,
        1800.0,
        quiet=site.quiet,
        on_purged=gone.append,
    )
    persist(site, 1)
    site.write([row(2)])
    site.write([row(3)], "mem")
    table_id, now = site.table().id, site.clock.now_ns()
    site.catalog.update(delete_table("db", "cpu", now, At(now + 10**9)))

    retention.check()
    assert len(site.paths_on_disk()) == 1
    assert retention._wait_s() == 1.0  # noqa: SLF001
    site.clock.advance(1)
    retention.check()

    assert gone == [[table_id]]
    assert site.paths_on_disk() == set()
    assert [load.table_id for load in site.buffer.tables()] == [site.table("mem").id]
    assert site.catalog.catalog.table_by_id(table_id) is None
    assert retention._wait_s() == 1800.0  # noqa: SLF001


def test_a_deleted_database_goes_with_all_its_tables(site: Site) -> None:
    site.create("cpu", "mem")
    persist(site, 1)
    site.write([row(3)], "mem")
    database_id, now = site.catalog.catalog.database("db").id, site.clock.now_ns()
    site.catalog.update(delete_database("db", now, At(now)))

    site.retention.check()

    assert (site.paths_on_disk(), site.buffer.tables()) == (set(), ())
    with pytest.raises(DatabaseNotFound):
        site.catalog.catalog.database_by_id(database_id)


def test_what_is_too_old_and_what_is_due_go_in_one_commit(site: Site) -> None:
    site.create("cpu", "mem", retention_ns=DAY_NS)
    now = site.clock.now_ns()
    persist(site, now)
    site.write([row(now)], "mem")
    site.persister.persist_all()
    site.catalog.update(delete_table("db", "mem", now, At(now + 1)))
    site.clock.advance(3 * 86_400)
    number = site.catalog.catalog.number

    site.retention.check()

    assert site.paths_on_disk() == set()
    assert site.catalog.catalog.number == number + 1


def test_what_is_never_to_be_removed_stays(site: Site) -> None:
    site.create("cpu")
    persist(site, 1)
    site.catalog.update(delete_table("db", "cpu", site.clock.now_ns(), Never()))
    site.clock.advance(10**9)

    site.retention.check()

    assert len(site.paths_on_disk()) == 1


def test_a_reader_keeps_a_file_that_is_too_old(site: Site) -> None:
    site.create("cpu", retention_ns=DAY_NS)
    now = site.clock.now_ns()
    persist(site, now)
    (path,) = site.paths_on_disk()
    site.clock.advance(3 * 86_400)

    with site.files.pin([path]):
        site.retention.check()
        assert site.table().files == ()
        assert site.paths_on_disk() == {path}
    assert site.paths_on_disk() == set()


def test_the_service_removes_what_is_deleted_at_once(site: Site) -> None:
    site.create("cpu")
    persist(site, 1)
    purged = threading.Event()
    retention = Retention(
        site.catalog,
        site.buffer,
        site.files,
        site.clock,
        1800.0,
        quiet=site.quiet,
        on_purged=lambda _ids: purged.set(),
    )
    retention.start()
    try:
        now = site.clock.now_ns()
        site.catalog.update(delete_table("db", "cpu", now, At(now)))
        retention.wake()
        assert purged.wait(10)
    finally:
        assert retention.stop()
    assert site.paths_on_disk() == set()


def test_retention_longer_than_time_itself_keeps_all_rows(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.create("cpu", retention_ns=2**64 - 1)
    site.write([{"time": time_ns, "host": "a", "usage": 1.0} for time_ns in (-(2**63), 2**63 - 1)])

    site.persister.persist_all()
    site.retention.check()

    assert len(site.points()) == 2
