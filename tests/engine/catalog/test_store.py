import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from engine.catalog.change import Change, CreateDatabase, SetRetention
from engine.catalog.objects import LocalObjects
from engine.catalog.state import Catalog
from engine.catalog.store import CatalogStore
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


def test_all_snapshots_damaged_is_an_error_that_names_them(tmp_path: Path) -> None:
    _open(tmp_path)
    (snapshot,) = (tmp_path / "catalog-snapshots").iterdir()
    snapshot.write_text("{}")

    with pytest.raises(CorruptCatalog, match=snapshot.name):
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


def test_second_writer_is_told_of_the_conflict(tmp_path: Path) -> None:
    one, other = _open(tmp_path), _open(tmp_path)
    _commit(one, 1)

    with pytest.raises(CatalogConflict, match="two servers must not share"):
        _commit(other, 1)

    assert other.catalog.number == 0


def test_closed_catalog_takes_no_commit_of_a_thread_that_comes_late(tmp_path: Path) -> None:
    store = _open(tmp_path)
    _commit(store, 1)

    store.close()
    with pytest.raises(DiskFailed, match="is closed"):
        _commit(store, 1)

    assert _open(tmp_path).catalog == store.catalog


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
