from __future__ import annotations

import logging
from pathlib import Path

import pytest

from engine import faultpoint
from engine.catalog.commands import set_retention
from engine.errors import DiskFailed
from tests.compacting import DAY_NS, compact_all, persist, persist_all_over, row, touching
from tests.persisting import Site


@pytest.fixture
def _small_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of ten rows at most, but as they are persisted."""
    for module in ("compactor", "merging"):
        monkeypatch.setattr(f"engine.upkeep.{module}.rows_limit", lambda _columns: 10)


@pytest.mark.usefixtures("_small_files")
def test_full_files_over_the_same_time_become_files_apart_in_one_commit(site: Site) -> None:
    site.create("cpu")
    persist_all_over(site, 6)
    before, seen = site.points(), list[int]()
    site.catalog.subscribe(lambda *_: seen.append(len(site.table().files)))

    assert touching(site) == 15
    assert compact_all(site) == 1
    assert (touching(site), seen) == (0, [6])
    assert {file.rows for file in site.table().files} == {10}
    assert {file.order for file in site.table().files} == {site.table().persisted_to}
    assert site.points() == before
    assert site.paths_on_disk() == {file.path for file in site.table().files}


@pytest.mark.usefixtures("_small_files")
def test_a_table_that_is_loaded_twice_is_there_once(site: Site) -> None:
    site.create("cpu")
    for note in ("first", "second"):
        for start in range(0, 60, 10):
            persist(site, *range(start, start + 10), note=note)
    before = site.points()

    compact_all(site)

    assert site.points() == before
    assert before["a", 7]["note"] == "second7"
    assert (touching(site), sum(file.rows for file in site.table().files)) == (0, 60)


@pytest.mark.usefixtures("_small_files")
def test_slices_have_the_columns_that_came_later(site: Site) -> None:
    site.create("cpu")
    site.write([{"host": "a", "usage": 1.0, "time": time} for time in range(20)])
    site.persister.persist_all()
    site.write([{"host": "a", "note": "x", "time": time} for time in range(0, 20, 2)])
    site.persister.persist_all()

    assert compact_all(site) >= 1
    assert touching(site) == 0
    assert site.points()["a", 4] == {"host": "a", "usage": 1.0, "note": "x", "time": 4}
    assert site.points()["a", 5] == {"host": "a", "usage": 1.0, "time": 5}


@pytest.mark.usefixtures("_small_files")
def test_slices_past_their_retention_go(site: Site) -> None:
    site.create("cpu")
    now = site.clock.now_ns()
    for part in range(3):
        persist(site, *(now - 5 * DAY_NS + n * 10 + part for n in range(10)), now - part)
    site.catalog.update(set_retention("db", DAY_NS))

    assert compact_all(site) == 1
    assert [file.rows for file in site.table().files] == [3]


@pytest.mark.usefixtures("_small_files")
def test_rows_of_one_time_that_are_too_many_are_left_alone(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    site.create("cpu")
    for part in range(3):
        site.write([row(1, host=f"{part}-{n}") for n in range(10)])
        site.persister.persist_all()

    with caplog.at_level(logging.WARNING):
        assert compact_all(site) == 0
        assert compact_all(site) == 0

    assert len(site.table().files) == 3
    assert [r.__dict__["why"] for r in caplog.records] == ["too many rows have the same time"]


@pytest.mark.usefixtures("_small_files")
@pytest.mark.parametrize("place", ["storage.file_renamed", "storage.file_synced"])
@pytest.mark.parametrize("how", [SystemExit, OSError])
def test_what_is_left_between_two_slices_is_swept_and_nothing_has_changed(
    tmp_path: Path, place: str, how: type[BaseException]
) -> None:
    site = Site(tmp_path)
    site.create("cpu")
    persist_all_over(site, 4)
    before, paths = site.points(), site.paths_on_disk()
    seen: list[str] = []

    def fail(reached: str) -> None:
        seen.extend([reached] * (reached == place))
        if reached == place and len(seen) == 3:
            raise how(28, "No space left on device")

    faultpoint.arm(fail)
    try:
        with pytest.raises((SystemExit, DiskFailed)):
            site.compactor.compact_one()
    finally:
        faultpoint.arm(lambda _place: None)

    if how is OSError:
        assert site.paths_on_disk() == paths
    again = Site(tmp_path)
    again.files.sweep({file.path for file in again.table().files})
    assert (again.points(), again.paths_on_disk()) == (before, paths)
    assert compact_all(again) == 1
    assert (again.points(), touching(again)) == (before, 0)


@pytest.mark.usefixtures("_small_files")
def test_a_stop_ends_the_work_between_two_slices(site: Site) -> None:
    site.create("cpu")
    persist_all_over(site, 6)
    paths = site.paths_on_disk()
    site.compactor.start()
    assert site.compactor.stop()

    site.compactor.compact_one()

    assert site.paths_on_disk() == paths
    assert {file.path for file in site.table().files} == paths
