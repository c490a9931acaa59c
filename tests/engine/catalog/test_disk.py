"""A full disk and failing calls at every step of a commit."""

import errno
import os
import resource
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from engine.catalog.change import Change, CreateDatabase
from engine.catalog.objects import LocalObjects
from engine.catalog.snapshots import Snapshots
from engine.catalog.state import Catalog
from engine.catalog.store import CatalogStore
from engine.errors import DiskFailed


def _open(directory: Path) -> CatalogStore:
    return CatalogStore.open(LocalObjects(directory))


def _create(catalog: Catalog) -> Sequence[Change]:
    return [CreateDatabase(catalog.next_id, f"db{catalog.next_id}")]


def _one_commit(directory: Path) -> CatalogStore:
    store = _open(directory)
    store.update(_create)
    return store


@contextmanager
def _files_up_to(size_bytes: int) -> Iterator[None]:
    """Let writes fail in the middle of a file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


class _Refusal:
    """Lets the n-th call of a function of the operating system fail, once."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, name: str, nth: int, code: int) -> None:
        self._original: Callable[..., Any] = getattr(os, name)
        self._left, self._code = nth, code
        monkeypatch.setattr(os, name, self)

    def __call__(self, *args: object, **more: object) -> object:
        self._left -= 1
        if self._left == 0:
            raise OSError(self._code, os.strerror(self._code))
        return self._original(*args, **more)


@pytest.mark.parametrize("size_bytes", [0, 1, 30, 60])
def test_write_that_fails_in_the_middle_refuses_one_commit(tmp_path: Path, size_bytes: int) -> None:
    store = _one_commit(tmp_path)

    with _files_up_to(size_bytes), pytest.raises(DiskFailed, match="cannot write catalog/"):
        store.update(_create)

    assert store.catalog.number == 1
    assert store.update(_create) == _open(tmp_path).catalog
    assert len(list((tmp_path / "catalog").iterdir())) == 2


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("fsync", errno.EIO),
        ("fsync", errno.ENOSPC),
        ("link", errno.ENOSPC),
        ("link", errno.EIO),
        ("open", errno.EMFILE),
    ],
)
def test_failure_before_the_commit_is_seen_passes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, code: int
) -> None:
    store = _one_commit(tmp_path)
    _Refusal(monkeypatch, name, 1, code)

    with pytest.raises(DiskFailed, match=os.strerror(code)):
        store.update(_create)

    assert _open(tmp_path).catalog.number == 1
    assert store.update(_create) == _open(tmp_path).catalog


def test_failed_sync_of_the_folder_stops_all_commits_until_a_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = _one_commit(tmp_path)
    heard: list[int] = []
    store.subscribe(lambda catalog, _changes: heard.append(catalog.number))
    with monkeypatch.context() as patch:
        _Refusal(patch, "fsync", 2, errno.EIO)
        with pytest.raises(DiskFailed, match="cannot write catalog/"):
            store.update(_create)

    with pytest.raises(DiskFailed, match=r"it is unknown whether .* restart the server"):
        store.update(_create)

    assert (store.catalog.number, heard) == (1, [])
    assert _open(tmp_path).update(_create) == _open(tmp_path).catalog


def test_unfinished_file_that_cannot_be_removed_does_no_harm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = _one_commit(tmp_path)
    with monkeypatch.context() as patch:
        _Refusal(patch, "unlink", 1, errno.EIO)
        catalog = store.update(_create)

    assert len(list((tmp_path / "catalog").iterdir())) == 3
    assert _open(tmp_path).catalog == catalog
    assert len(list((tmp_path / "catalog").iterdir())) == 2


@pytest.mark.parametrize(("name", "nth"), [("fsync", n) for n in range(1, 5)] + [("link", 1)])
def test_first_opening_that_fails_anywhere_succeeds_the_next_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, nth: int
) -> None:
    directory = tmp_path / "node"
    with monkeypatch.context() as patch:
        _Refusal(patch, name, nth, errno.EIO)
        with pytest.raises(OSError, match=os.strerror(errno.EIO)):
            _open(directory)

    assert _one_commit(directory).catalog == _open(directory).catalog


@pytest.mark.parametrize(("name", "nth"), [("fsync", 1), ("fsync", 2), ("link", 1)])
def test_snapshot_that_fails_anywhere_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, nth: int
) -> None:
    objects = LocalObjects(tmp_path)
    store = CatalogStore.open(objects)
    snapshots = Snapshots(store, objects)
    catalog = store.update(_create)
    with monkeypatch.context() as patch:
        _Refusal(patch, name, nth, errno.ENOSPC)
        snapshots.catch_up()

    assert _open(tmp_path).catalog == catalog
    assert store.update(_create) == _open(tmp_path).catalog
