"""Folders of somebody hostile: what walks them neither follows a link nor runs out of anything."""

import os
import time
from pathlib import Path

import pytest

from engine.sandbox import tree

IS_ROOT = os.geteuid() == 0


def test_size_counts_disk_blocks_of_all_below(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "one").write_bytes(b"x" * 10_000)
    (tmp_path / "two").write_bytes(b"x" * 5000)

    found = tree.size(str(tmp_path))

    assert found.entries == 3
    assert found.is_complete
    assert found.disk_bytes >= 15_000


def test_size_of_a_sparse_file_is_what_it_takes(tmp_path: Path) -> None:
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(1 << 40)

    assert tree.size(str(tmp_path)).disk_bytes < 1 << 20


def test_size_does_not_follow_links(tmp_path: Path) -> None:
    (tmp_path / "private").mkdir()
    (tmp_path / "private" / "usr").symlink_to("/usr")
    (tmp_path / "private" / "loop").symlink_to(".")

    found = tree.size(str(tmp_path / "private"))

    assert (found.entries, found.is_complete) == (2, True)


def test_size_stops_at_its_limit_and_says_so(tmp_path: Path) -> None:
    for number in range(20):
        (tmp_path / str(number)).touch()

    assert tree.size(str(tmp_path), max_entries=7) == tree.Size(0, 7, is_complete=False)


def test_size_says_that_a_tree_is_too_deep(tmp_path: Path) -> None:
    _dig(tmp_path, tree.MAX_DEPTH + 5)

    found = tree.size(str(tmp_path))

    assert found.entries == tree.MAX_DEPTH
    assert not found.is_complete


def test_removal_takes_very_deep_trees_pipes_links_and_closed_folders(tmp_path: Path) -> None:
    private = tmp_path / "private"
    (private / "closed" / "inner").mkdir(parents=True)
    (private / "closed" / "inner" / "file").write_text("x")
    (private / "closed" / "inner").chmod(0)
    (private / "closed").chmod(0)
    os.mkfifo(private / "pipe")
    _dig(private, 3000)
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("kept")
    (private / "link").symlink_to(outside)
    (private / "closed-link").symlink_to(outside / "kept")

    tree.remove(str(private))

    assert not private.exists()
    assert (outside / "kept").read_text() == "kept"


def test_removal_of_a_link_leaves_what_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "kept").touch()
    (tmp_path / "private").symlink_to("outside")

    tree.remove(str(tmp_path / "private"))

    assert not (tmp_path / "private").is_symlink()
    assert (tmp_path / "outside" / "kept").exists()


def test_removal_of_what_is_missing_does_nothing(tmp_path: Path) -> None:
    tree.remove(str(tmp_path / "missing"))

    assert list(tmp_path.iterdir()) == []


def test_removal_of_many_entries_is_quick(tmp_path: Path) -> None:
    private = tmp_path / "private"
    private.mkdir()
    for number in range(2000):
        (private / f"folder{number}").mkdir()
        (private / f"folder{number}" / "file").touch()
    started_s = time.monotonic()

    tree.remove(str(private))

    assert time.monotonic() - started_s < 5
    assert not private.exists()


def test_open_folder_refuses_links_and_files(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/etc")
    (tmp_path / "file").touch()

    for name in ("link", "file"):
        with pytest.raises(NotADirectoryError), tree.opened(str(tmp_path / name)):
            pass


@pytest.mark.skipif(not IS_ROOT, reason="only root can give files away")
def test_giving_a_folder_leaves_links_second_names_and_what_others_own(tmp_path: Path) -> None:
    private = tmp_path / "private"
    (private / "folder").mkdir(parents=True)
    (private / "folder" / "file").touch()
    (private / "others").touch()
    os.chown(private / "others", 4242, 4242)
    (tmp_path / "shadow").touch()
    os.link(tmp_path / "shadow", private / "second")
    (private / "link").symlink_to(tmp_path / "shadow")

    with tree.opened(str(private)) as folder:
        tree.give(folder, 12345)

    owners = {path.name: path.lstat().st_uid for path in private.rglob("*")}
    assert owners == {"folder": 12345, "file": 12345, "others": 4242, "second": 0, "link": 12345}
    assert private.stat().st_uid == 12345
    assert (tmp_path / "shadow").stat().st_uid == 0


def _dig(folder: Path, depth: int) -> None:
    """Make a chain of folders that may be deeper than a path can be long."""
    above = os.open(folder, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("d", dir_fd=above)
        inner = os.open("d", os.O_RDONLY, dir_fd=above)
        os.close(above)
        above = inner
    os.close(above)
