from __future__ import annotations

import logging
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from engine.catalog.commands import set_retention
from engine.catalog.filing import replace_files
from engine.errors import DiskFailed
from tests.compacting import DAY_NS, compact_all, persist, row
from tests.persisting import Site


def test_small_files_become_one_and_go(site: Site) -> None:
    site.create("cpu")
    for n in range(4):
        persist(site, 10 * n, 10 * n + 5)
    before = site.points()

    assert compact_all(site) == 1
    (file,) = site.table().files
    assert (file.rows, file.order, file.min_ns, file.max_ns) == (
        8,
        site.table().persisted_to,
        0,
        35,
    )
    assert site.points() == before
    assert site.paths_on_disk() == {file.path}
    assert not site.compactor.compact_one()


def test_later_rows_win_in_each_field(site: Site) -> None:
    site.create("cpu")
    for n, fields in enumerate(
        [{"note": "first"}, {"usage": 2.0, "note": None}, {"usage": None, "note": "last"}, {}]
    ):
        site.write([row(1, **fields), row(n + 2)])
        site.persister.persist_all()

    assert compact_all(site) == 1
    assert site.points()["a", 1] == {"host": "a", "usage": 1.0, "note": "last", "time": 1}


def test_a_file_that_is_read_stays_until_its_reader_has_gone(site: Site) -> None:
    site.create("cpu")
    for n in range(4):
        persist(site, n)
    old = {file.path for file in site.table().files}

    with site.files.pin(old):
        compact_all(site)
        assert old < site.paths_on_disk()
    assert site.paths_on_disk() == {file.path for file in site.table().files}


def test_rows_past_their_retention_go(site: Site) -> None:
    site.create("cpu")
    now = site.clock.now_ns()
    for n in range(4):
        persist(site, now - 2 * DAY_NS + n, now - n)
    site.catalog.update(set_retention("db", DAY_NS))

    assert compact_all(site) == 1
    assert [file.rows for file in site.table().files] == [4]


def test_files_that_go_meanwhile_make_the_work_vain(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.create("cpu")
    for n in range(4):
        persist(site, n)
    gone = site.table().files[0].path
    update = site.catalog.update

    def late(decide: object) -> object:
        update(replace_files(site.table().id, [gone], ()))
        return update(decide)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(site.catalog, "update", late)
        site.compactor.compact_one()

    assert len(site.table().files) == 3
    assert {file.path for file in site.table().files} <= site.paths_on_disk()
    assert len(site.paths_on_disk() - {gone}) == 3


def test_a_full_disk_changes_nothing_and_heals(site: Site, failing: list[str]) -> None:
    site.create("cpu")
    for n in range(4):
        persist(site, n)
    before, paths = site.points(), site.paths_on_disk()
    failing.append("storage.file_synced")

    with pytest.raises(DiskFailed):
        site.compactor.compact_one()
    assert (site.points(), site.paths_on_disk()) == (before, paths)
    failing.clear()
    assert site.compactor.compact_one()
    assert site.points() == before


def test_a_damaged_file_is_told_once_and_other_tables_go_on(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    site.create("cpu", "mem")
    for n in range(4):
        persist(site, n)
        site.write([row(n)], "mem")
        site.persister.persist_all()
    damaged = site.root / site.table().files[1].path
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"?")

    with caplog.at_level(logging.ERROR):
        assert compact_all(site) == 1
        assert compact_all(site) == 0

    assert len(site.table().files) == 4
    assert len(site.table("mem").files) == 1
    assert [record.message for record in caplog.records] == ["files are left as they are"]
    assert damaged.name in caplog.records[0].__dict__["why"]


@pytest.mark.parametrize(
    "place",
    [
        "storage.file_renamed",
        "compact.files_written",
        "compact.catalog_committed",
        "storage.files_removed",
        "compact.files_discarded",
    ],
)
def test_what_a_kill_leaves_is_swept_and_nothing_has_changed(
    tmp_path: Path, dying: list[str], place: str
) -> None:
    site = Site(tmp_path)
    site.create("cpu")
    for n in range(4):
        persist(site, n, n + 1)
    before = site.points()
    dying.append(place)
    with pytest.raises(SystemExit):
        site.compactor.compact_one()
    dying.clear()

    again = Site(tmp_path)
    again.files.sweep({file.path for file in again.table().files})

    assert again.points() == before
    assert again.paths_on_disk() == {file.path for file in again.table().files}
    compact_all(again)
    assert again.points() == before


def test_a_commit_that_fails_is_tried_again_with_the_same_files(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.create("cpu")
    for n in range(4):
        persist(site, n, n + 1)
    before, old = site.points(), site.paths_on_disk()

    def refuse(_decide: object) -> None:
        raise DiskFailed("no space")

    with monkeypatch.context() as patch:
        patch.setattr(site.catalog, "update", refuse)
        for _ in range(3):
            with pytest.raises(DiskFailed):
                site.compactor.compact_one()
    written = site.paths_on_disk() - old

    assert len(written) == 1
    assert site.compactor.compact_one()
    assert site.paths_on_disk() == written == {file.path for file in site.table().files}
    assert site.points() == before


def test_the_service_compacts_when_it_is_woken(site: Site) -> None:
    site.create("cpu")
    site.compactor.start()
    try:
        for n in range(4):
            persist(site, n)
        seen = threading.Event()
        site.catalog.subscribe(lambda *_: seen.set())
        site.compactor.wake()
        assert seen.wait(10)
    finally:
        assert site.compactor.stop()
    assert len(site.points()) == 4


def test_wide_rows_have_smaller_files(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.upkeep.writing.rows_limit", lambda columns: 100 // columns)
    site.create("cpu")

    persist(site, *range(60))

    assert [file.rows for file in site.table().files] == [20, 20, 20]
    assert len({replace(file, path="").order for file in site.table().files}) == 1
    assert len(site.points()) == 60


def test_other_times_of_a_table_with_a_damaged_file_go_on(site: Site) -> None:
    site.create("cpu")
    for n in range(9):
        persist(site, 10 * n, 10 * n + 5)
    damaged = site.root / site.table().files[4].path
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"?")

    assert compact_all(site) == 2
    assert sorted((file.min_ns, file.max_ns) for file in site.table().files) == [
        (0, 35),
        (40, 45),
        (50, 85),
    ]


def test_days_that_become_one_file_stay_one(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.upkeep.writing._ROWS_A_DAY", 1)
    site.create("cpu")
    for day in range(4):
        persist(site, day * DAY_NS, day * DAY_NS + 1)

    assert compact_all(site) == 1
    assert [file.rows for file in site.table().files] == [8]
