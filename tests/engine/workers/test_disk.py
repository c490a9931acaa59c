"""Private folders are counted now and then, and full ones keep workers from starting."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from engine.errors import WorkerOverLimit
from engine.sandbox import tree
from engine.workers.disk import Disk

MIB = 1 << 20


@dataclass(frozen=True)
class Count:
    disk_bytes: int
    entries: int = 1
    is_complete: bool = True


class Folder:
    """A folder that holds what a test says, and notes how often it is counted."""

    def __init__(self, held: Count) -> None:
        self.held = held
        self.counts = 0

    def __call__(self, _path: str) -> Count:
        self.counts += 1
        return self.held


HERE = Path("/private/1")


def test_folder_is_not_counted_again_at_once() -> None:
    folder = Folder(Count(5))
    disk = Disk(folder)

    looks = [disk.look(HERE, cpu_s) for cpu_s in (1.0, 2.0, 3.0)]

    assert [held.disk_bytes for held in looks if held is not None] == [5, 5, 5]
    assert folder.counts == 1


def test_folder_over_its_limit_is_named_with_both_sizes() -> None:
    disk = Disk(Folder(Count(0)))

    text = disk.overrun(HERE, Count(300 * MIB), 256 * MIB)

    assert text == "killed: disk 256 MiB, the private folder holds 300 MiB"
    assert disk.overrun(HERE, Count(256 * MIB), 256 * MIB) is None


def test_folder_that_cannot_be_counted_is_over_its_limit() -> None:
    disk = Disk(Folder(Count(0)))

    text = disk.overrun(HERE, Count(5, entries=200_000, is_complete=False), 256 * MIB)

    assert text is not None
    assert "more than can be counted (after 200000 files)" in text


def test_no_worker_starts_on_a_full_folder_until_it_is_cleared() -> None:
    folder = Folder(Count(300 * MIB))
    disk = Disk(folder)
    disk.check(HERE, 256 * MIB)  # nobody was killed for it so far: it is not even counted
    assert folder.counts == 0
    disk.overrun(HERE, folder.held, 256 * MIB)

    for _ in range(2):
        with pytest.raises(WorkerOverLimit, match="holds 300 MiB; remove files from /private/1"):
            disk.check(HERE, 256 * MIB)
    folder.held = Count(1 * MIB)
    disk.check(HERE, 256 * MIB)
    disk.check(HERE, 256 * MIB)

    assert folder.counts == 3


def test_folder_that_is_gone_is_unknown_and_no_obstacle(tmp_path: Path) -> None:
    disk = Disk(tree.size)
    gone = tmp_path / "gone"

    assert disk.look(gone, 1.0) is None
    disk.overrun(gone, Count(2 * MIB), MIB)
    disk.check(gone, MIB)


def test_real_folder_is_counted_without_following_links(tmp_path: Path) -> None:
    (tmp_path / "private").mkdir()
    (tmp_path / "big").write_bytes(bytes([1]) * MIB)
    (tmp_path / "private" / "link").symlink_to(tmp_path / "big")
    (tmp_path / "private" / "own").write_bytes(bytes([1]) * 65536)

    held = Disk(tree.size).look(tmp_path / "private", 0.0)

    assert held is not None
    assert 65536 <= held.disk_bytes < MIB
