import os
import threading
from pathlib import Path

import pytest

from engine.catalog.objects import LocalObjects, ObjectExists


def test_created_object_reads_back_and_is_listed(tmp_path: Path) -> None:
    objects = LocalObjects(tmp_path / "new" / "folder")

    objects.create("a/2.json", b"two")
    objects.create("a/1.json", b"one")

    assert objects.get("a/1.json") == b"one"
    assert objects.list("a") == ["a/1.json", "a/2.json"]
    assert objects.list("b") == []
    assert objects.get("a/3.json") is None


def test_second_creation_of_a_key_fails_and_changes_nothing(tmp_path: Path) -> None:
    objects = LocalObjects(tmp_path)
    objects.create("k", b"first")

    with pytest.raises(ObjectExists):
        objects.create("k", b"second")

    assert objects.get("k") == b"first"
    assert [path.name for path in tmp_path.iterdir()] == ["k"]


def test_one_of_many_racing_writers_wins(tmp_path: Path) -> None:
    objects = LocalObjects(tmp_path)
    winners: list[int] = []

    def create(number: int) -> None:
        try:
            objects.create("k", str(number).encode())
        except ObjectExists:
            return
        winners.append(number)

    threads = [threading.Thread(target=create, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert objects.get("k") == str(winners[0]).encode()
    assert len(winners) == 1


def test_delete_removes_and_accepts_what_is_gone(tmp_path: Path) -> None:
    objects = LocalObjects(tmp_path)
    objects.create("a/k", b"x")

    objects.delete("a/k")
    objects.delete("a/k")

    assert objects.list("a") == []


def test_unfinished_file_of_a_crash_is_ignored_and_removed_at_the_next_start(
    tmp_path: Path,
) -> None:
    objects = LocalObjects(tmp_path)
    objects.create("a/1.json", b"one")
    leftover = tmp_path / "a" / ".unfinished-1-0-2.json"
    leftover.write_bytes(b"half")

    assert objects.list("a") == ["a/1.json"]

    assert LocalObjects(tmp_path).list("a") == ["a/1.json"]
    assert not leftover.exists()


def test_failed_sync_leaves_no_object(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    objects = LocalObjects(tmp_path)

    def fail(descriptor: int) -> None:
        raise OSError(5, "input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="input/output error"):
        objects.create("k", b"x")
    monkeypatch.undo()

    assert objects.get("k") is None
    assert list(tmp_path.iterdir()) == []
