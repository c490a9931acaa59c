import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from engine.catalog.change import (
    AddFiles,
    Change,
    CreateDatabase,
    CreateTable,
    SetPersisted,
    SetRetention,
)
from engine.catalog.objects import LocalObjects
from engine.catalog.snapshots import SNAPSHOT_INTERVAL, Snapshots
from engine.catalog.state import Catalog
from engine.catalog.store import CatalogStore
from engine.errors import CorruptCatalog
from engine.model.file import ParquetFile

EVERY = SNAPSHOT_INTERVAL


def _add_database(catalog: Catalog) -> Sequence[Change]:
    return [CreateDatabase(catalog.next_id, f"db{catalog.next_id}")]


class _Kept:
    """A catalog whose snapshots are written in the thread of the test."""

    def __init__(self, objects: LocalObjects) -> None:
        self.store = CatalogStore.open(objects)
        self.snapshots = Snapshots(self.store, objects)

    def commit(self, times: int) -> Catalog:
        for _ in range(times):
            self.store.update(_add_database)
            self.snapshots.catch_up()
        return self.store.catalog


def _numbers(directory: Path, folder: str) -> list[int]:
    return sorted(int(path.stem) for path in (directory / folder).glob("*.json"))


def _read(directory: Path) -> Catalog:
    return CatalogStore.open(LocalObjects(directory)).catalog


@pytest.mark.parametrize(
    ("commits", "snapshots"),
    [
        (1, [0, 1]),
        (EVERY, [0, 1]),
        (EVERY + 1, [1, EVERY + 1]),
        (3 * EVERY + 5, [2 * EVERY + 1, 3 * EVERY + 1]),
    ],
)
def test_snapshots_bound_what_is_kept(tmp_path: Path, commits: int, snapshots: list[int]) -> None:
    catalog = _Kept(LocalObjects(tmp_path)).commit(commits)

    assert _numbers(tmp_path, "catalog-snapshots") == snapshots
    assert _numbers(tmp_path, "catalog") == list(range(snapshots[0] + 1, commits + 1))
    assert _read(tmp_path) == catalog


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


def _zero(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


@pytest.mark.parametrize("damage", [_cut, _zero])
@pytest.mark.parametrize("commits", [EVERY + 1, EVERY + 2, 2 * EVERY])
def test_damaged_snapshot_is_made_good_by_the_one_before_and_then_replaced(
    tmp_path: Path, commits: int, damage: Callable[[Path], None]
) -> None:
    catalog = _Kept(LocalObjects(tmp_path)).commit(commits)
    damage(max((tmp_path / "catalog-snapshots").iterdir()))

    again = _Kept(LocalObjects(tmp_path))
    assert again.store.catalog == catalog
    again.commit(1)

    assert _numbers(tmp_path, "catalog-snapshots") == [1, commits + 1]
    damage(max((tmp_path / "catalog-snapshots").iterdir()))
    assert _read(tmp_path) == again.store.catalog


def test_older_snapshot_that_is_damaged_covers_nothing(tmp_path: Path) -> None:
    _Kept(LocalObjects(tmp_path)).commit(EVERY + 1)
    _cut(min((tmp_path / "catalog-snapshots").iterdir()))

    catalog = _Kept(LocalObjects(tmp_path)).commit(1)

    assert _numbers(tmp_path, "catalog-snapshots") == [EVERY + 1, EVERY + 2]
    assert _read(tmp_path) == catalog


def test_missing_commits_below_a_damaged_snapshot_are_noticed(tmp_path: Path) -> None:
    _Kept(LocalObjects(tmp_path)).commit(EVERY + 1)
    _cut(max((tmp_path / "catalog-snapshots").iterdir()))
    max((tmp_path / "catalog").iterdir()).unlink()

    with pytest.raises(CorruptCatalog, match=f"catalog/{EVERY + 1:020}.json is missing"):
        _read(tmp_path)


class _Failing(LocalObjects):
    """Fails to create snapshots, or to delete, while told to."""

    may_create = True
    may_delete = True

    def create(self, key: str, content: bytes) -> None:
        if key.startswith("catalog-snapshots") and not self.may_create:
            raise OSError(28, "no space left on device")
        super().create(key, content)

    def delete(self, key: str) -> None:
        if not self.may_delete:
            raise OSError(30, "read-only file system")
        super().delete(key)


def test_failed_snapshot_loses_nothing_and_is_tried_again_later(tmp_path: Path) -> None:
    objects = _Failing(tmp_path)
    kept = _Kept(objects)
    kept.commit(EVERY)
    objects.may_create = False

    catalog = kept.commit(EVERY)

    assert _numbers(tmp_path, "catalog-snapshots") == [0, 1]
    assert _read(tmp_path) == catalog
    objects.may_create = True
    kept.commit(1)
    assert _numbers(tmp_path, "catalog-snapshots") == [1, 2 * EVERY + 1]


def test_file_of_somebody_else_stops_no_snapshot_but_only_the_tidying(tmp_path: Path) -> None:
    kept = _Kept(LocalObjects(tmp_path))
    kept.commit(1)
    foreign = tmp_path / "catalog" / "notes.txt"
    foreign.write_text("mine")

    kept.commit(EVERY)
    assert _numbers(tmp_path, "catalog-snapshots") == [0, 1, EVERY + 1]
    foreign.unlink()
    kept.commit(EVERY)

    assert _numbers(tmp_path, "catalog-snapshots") == [EVERY + 1, 2 * EVERY + 1]


def test_failed_removal_leaves_a_readable_catalog_and_is_made_up_for(tmp_path: Path) -> None:
    objects = _Failing(tmp_path)
    kept = _Kept(objects)
    objects.may_delete = False

    catalog = kept.commit(2 * EVERY)

    assert _read(tmp_path) == catalog
    objects.may_delete = True
    kept.commit(EVERY)
    assert len(_numbers(tmp_path, "catalog-snapshots")) == 2
    assert _read(tmp_path) == kept.store.catalog


class _Slow(LocalObjects):
    """Keeps whoever writes a later snapshot waiting."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.writing, self.go_on = threading.Event(), threading.Event()

    def create(self, key: str, content: bytes) -> None:
        if key.startswith("catalog-snapshots") and not key.endswith("0.json"):
            self.writing.set()
            assert self.go_on.wait(5)
        super().create(key, content)


@contextmanager
def _running(service: Snapshots) -> Iterator[None]:
    service.start()
    try:
        yield
    finally:
        assert service.stop()


def test_commits_go_on_while_a_snapshot_is_written(tmp_path: Path) -> None:
    objects = _Slow(tmp_path)
    store = CatalogStore.open(objects)

    with _running(Snapshots(store, objects)):
        store.update(_add_database)
        assert objects.writing.wait(5)
        catalog = store.update(_add_database)
        objects.go_on.set()

    assert catalog.number == 2
    assert _numbers(tmp_path, "catalog-snapshots") == [0, 1]


def test_idle_service_stops(tmp_path: Path) -> None:
    objects = LocalObjects(tmp_path)

    with _running(Snapshots(CatalogStore.open(objects), objects)):
        pass

    assert _numbers(tmp_path, "catalog-snapshots") == [0]


def test_snapshot_holds_files_marks_and_the_period_of_the_internal_database(
    tmp_path: Path,
) -> None:
    kept = _Kept(LocalObjects(tmp_path))
    file = ParquetFile("parquet/1/2/a.parquet", 1, 2, 3, -4, 5, 6)
    kept.store.update(
        lambda _: [
            CreateDatabase(1, "db"),
            CreateTable(2, 1, "cpu", ()),
            AddFiles(2, (file,), 9),
            SetPersisted(8),
            SetRetention(0, 5),
        ]
    )
    kept.snapshots.catch_up()
    (tmp_path / "catalog-snapshots" / f"{0:020}.json").unlink()

    read = _read(tmp_path)

    assert read == kept.store.catalog
    assert read.database("db").tables["cpu"].files == (file,)
