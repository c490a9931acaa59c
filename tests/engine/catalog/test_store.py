import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from engine.catalog.change import Change, CreateDatabase, SetRetention
from engine.catalog.objects import LocalObjects, ObjectExists
from engine.catalog.state import Catalog
from engine.catalog.store import SNAPSHOT_INTERVAL, CatalogStore
from engine.errors import (
    AlreadyExists,
    CatalogConflict,
    CorruptCatalog,
    DiskFailed,
    InconsistentChange,
)


def _open(directory: Path) -> CatalogStore:
    return CatalogStore.open(LocalObjects(directory))


def _add_database(catalog: Catalog) -> Sequence[Change]:
    return [CreateDatabase(catalog.next_id, f"db{catalog.next_id}")]


def _commit(store: CatalogStore, times: int) -> Catalog:
    for _ in range(times):
        store.update(_add_database)
    return store.catalog


def _names(directory: Path, folder: str) -> list[int]:
    return sorted(int(path.stem) for path in (directory / folder).glob("*.json"))


def test_first_opening_makes_a_uuid_that_stays(tmp_path: Path) -> None:
    uuid = _open(tmp_path).catalog.uuid

    assert len(uuid) == 36
    assert _open(tmp_path).catalog.uuid == uuid


def test_commits_are_there_after_reopening(tmp_path: Path) -> None:
    store = _open(tmp_path)
    _commit(store, 2)

    catalog = store.update(_add_database)

    assert store.catalog is catalog
    assert catalog.number == 3
    assert _open(tmp_path).catalog == catalog


def test_no_changes_write_nothing(tmp_path: Path) -> None:
    store = _open(tmp_path)
    before = store.catalog

    assert store.update(lambda catalog: []) is before
    assert LocalObjects(tmp_path).list("catalog") == []


def test_refused_decision_changes_nothing(tmp_path: Path) -> None:
    store = _open(tmp_path)

    def refuse(catalog: Catalog) -> Sequence[Change]:
        raise AlreadyExists

    with pytest.raises(AlreadyExists):
        store.update(refuse)
    with pytest.raises(InconsistentChange):
        store.update(lambda catalog: [*_add_database(catalog), SetRetention(99, 1)])

    assert _commit(store, 1).number == 1


@pytest.mark.parametrize("commits", [SNAPSHOT_INTERVAL, 3 * SNAPSHOT_INTERVAL + 5])
def test_snapshots_bound_what_is_kept(tmp_path: Path, commits: int) -> None:
    catalog = _commit(_open(tmp_path), commits)

    last = commits // SNAPSHOT_INTERVAL * SNAPSHOT_INTERVAL
    before = last - SNAPSHOT_INTERVAL
    assert _names(tmp_path, "catalog-snapshots") == [before, last]
    assert _names(tmp_path, "catalog") == list(range(before + 1, commits + 1))
    assert _open(tmp_path).catalog == catalog


def test_damaged_snapshot_is_made_good_by_the_one_before(tmp_path: Path) -> None:
    catalog = _commit(_open(tmp_path), 2 * SNAPSHOT_INTERVAL + 1)
    newest = max((tmp_path / "catalog-snapshots").iterdir())
    newest.write_bytes(newest.read_bytes()[:-40])

    assert _open(tmp_path).catalog == catalog


def test_all_snapshots_damaged_is_an_error_that_names_them(tmp_path: Path) -> None:
    _open(tmp_path)
    (snapshot,) = (tmp_path / "catalog-snapshots").iterdir()
    snapshot.write_text("{}")

    with pytest.raises(CorruptCatalog, match=snapshot.name):
        _open(tmp_path)


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-3])


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _rename_a_database(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"db2", b"db9"))


def _remove(path: Path) -> None:
    path.unlink()


def _copy_of_the_first(path: Path) -> None:
    path.write_bytes(path.with_name(f"{1:020}.json").read_bytes())


@pytest.mark.parametrize("damage", [_cut, _empty, _rename_a_database, _remove, _copy_of_the_first])
def test_damaged_or_missing_commit_is_an_error_that_names_it(
    tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    _commit(_open(tmp_path), 3)
    damage(tmp_path / "catalog" / f"{2:020}.json")

    with pytest.raises(CorruptCatalog, match=f"catalog/{2:020}.json"):
        _open(tmp_path)


def test_commits_without_any_snapshot_are_an_error(tmp_path: Path) -> None:
    _commit(_open(tmp_path), 1)
    for snapshot in (tmp_path / "catalog-snapshots").iterdir():
        snapshot.unlink()

    with pytest.raises(CorruptCatalog, match="no snapshot"):
        _open(tmp_path)


def test_foreign_file_among_the_commits_is_an_error(tmp_path: Path) -> None:
    _commit(_open(tmp_path), 1)
    (tmp_path / "catalog" / "notes.txt").write_text("mine")

    with pytest.raises(CorruptCatalog, match=r"notes\.txt is not a file of the catalog"):
        _open(tmp_path)


def test_unfinished_commit_of_a_crash_is_forgotten(tmp_path: Path) -> None:
    catalog = _commit(_open(tmp_path), 2)
    unfinished = tmp_path / "catalog" / f".unfinished-9-0-{3:020}.json"
    unfinished.write_text('{"format"')

    store = _open(tmp_path)

    assert store.catalog == catalog
    assert _commit(store, 1).number == 3


def test_crash_between_snapshot_and_removal_leaves_a_readable_catalog(tmp_path: Path) -> None:
    class NeverDeletes(LocalObjects):
        def delete(self, key: str) -> None:
            raise OSError(30, "read-only file system")

    store = CatalogStore.open(NeverDeletes(tmp_path))
    catalog = _commit(store, 2 * SNAPSHOT_INTERVAL + 1)

    assert _open(tmp_path).catalog == catalog


def test_second_writer_is_told_of_the_conflict(tmp_path: Path) -> None:
    one, other = _open(tmp_path), _open(tmp_path)
    _commit(one, 1)

    with pytest.raises(CatalogConflict, match="two servers must not share"):
        _commit(other, 1)

    assert other.catalog.number == 0


class _FailingObjects(LocalObjects):
    """Fails the next creation, before or after the object has become visible."""

    failure: str = ""

    def create(self, key: str, content: bytes) -> None:
        failure, self.failure = self.failure, ""
        if failure == "before":
            raise OSError(28, "no space left on device")
        super().create(key, content)
        if failure == "after":
            raise OSError(5, "input/output error")


def test_full_disk_refuses_one_commit_and_accepts_the_next(tmp_path: Path) -> None:
    objects = _FailingObjects(tmp_path)
    store = CatalogStore.open(objects)
    objects.failure = "before"

    with pytest.raises(DiskFailed, match="no space left on device"):
        _commit(store, 1)

    assert store.catalog.number == 0
    assert _commit(store, 1) == _open(tmp_path).catalog


def test_commit_of_unknown_durability_stops_all_later_ones(tmp_path: Path) -> None:
    objects = _FailingObjects(tmp_path)
    store = CatalogStore.open(objects)
    objects.failure = "after"

    with pytest.raises(DiskFailed, match="input/output error"):
        _commit(store, 1)
    with pytest.raises(DiskFailed, match=r"it is unknown whether .* restart the server"):
        _commit(store, 1)

    assert store.catalog.number == 0


def test_failed_snapshot_does_not_fail_the_commit(tmp_path: Path) -> None:
    class NoSnapshots(LocalObjects):
        def create(self, key: str, content: bytes) -> None:
            if key == f"catalog-snapshots/{SNAPSHOT_INTERVAL:020}.json":
                raise ObjectExists(key)
            super().create(key, content)

    store = CatalogStore.open(NoSnapshots(tmp_path))

    catalog = _commit(store, SNAPSHOT_INTERVAL + 1)

    assert _open(tmp_path).catalog == catalog


def test_listeners_hear_every_commit_before_update_returns(tmp_path: Path) -> None:
    store = _open(tmp_path)
    heard: list[tuple[int, Sequence[Change]]] = []
    store.subscribe(lambda catalog, changes: heard.append((catalog.number, changes)))

    store.update(_add_database)

    assert heard == [(1, (CreateDatabase(1, "db1"),))]


def test_listener_that_raises_does_not_keep_others_from_hearing(tmp_path: Path) -> None:
    store = _open(tmp_path)
    heard: list[int] = []

    def fail(catalog: Catalog, changes: Sequence[Change]) -> None:
        raise RuntimeError("broken listener")

    store.subscribe(fail)
    store.subscribe(lambda catalog, changes: heard.append(catalog.number))

    _commit(store, 2)

    assert heard == [1, 2]


def test_listener_may_commit_and_all_hear_in_order(tmp_path: Path) -> None:
    store = _open(tmp_path)
    heard: list[tuple[str, int]] = []

    def follow(catalog: Catalog, changes: Sequence[Change]) -> None:
        heard.append(("follow", catalog.number))
        if catalog.number == 1:
            store.update(_add_database)

    store.subscribe(follow)
    store.subscribe(lambda catalog, changes: heard.append(("listen", catalog.number)))

    store.update(_add_database)

    assert heard == [("follow", 1), ("listen", 1), ("follow", 2), ("listen", 2)]


def test_commits_of_many_threads_are_numbered_and_heard_in_order(tmp_path: Path) -> None:
    store = _open(tmp_path)
    heard: list[int] = []
    heard_at_return: list[bool] = []
    store.subscribe(lambda catalog, changes: heard.append(catalog.number))

    def commit() -> None:
        for _ in range(5):
            number = store.update(_add_database).number
            heard_at_return.append(number in heard)

    threads = [threading.Thread(target=commit) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert heard == list(range(1, 21))
    assert all(heard_at_return)
    assert len(store.catalog.databases) == 21
