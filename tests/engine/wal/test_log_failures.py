"""The log on a disk that is full or broken, and on one that does not let segments go."""

from __future__ import annotations

import errno
import resource
from pathlib import Path

import pytest

from engine.errors import DiskFailed
from engine.wal.log import Log
from tests.engine.wal.samples import (
    FaultyDisk,
    filled,
    loads,
    segments,
    write,
)

FULL = OSError(errno.ENOSPC, "No space left on device")
BROKEN = OSError(errno.EIO, "Input/output error")


def test_segment_that_cannot_be_removed_is_not_left_behind_by_the_next_drop(tmp_path: Path) -> None:
    filled(tmp_path, [[1.0], [2.0], [3.0]], segment_bytes=1)  # entries 2, 4 and 6
    disk = FaultyDisk()
    log = Log.open(tmp_path, disk=disk)
    disk.fail["unlink"] = [OSError(errno.EIO, "Input/output error")]

    with pytest.raises(DiskFailed, match="cannot remove old segments"):
        log.drop_before(4)
    assert log.first_sequence == 1
    assert log.drop_before(6) == 2
    log.close()
    log = Log.open(tmp_path)
    assert loads(log) == [3.0]
    log.close()


def test_segment_that_is_gone_already_is_dropped(tmp_path: Path) -> None:
    filled(tmp_path, [[1.0], [2.0], [3.0]], segment_bytes=1)
    log = Log.open(tmp_path)
    segments(tmp_path)[0].unlink()

    assert log.drop_before(6) == 2
    assert loads(log) == [3.0]
    log.close()


def test_directory_that_cannot_be_made_is_a_disk_failure(tmp_path: Path) -> None:
    (tmp_path / "wal").write_text("a file")

    with pytest.raises(DiskFailed, match="cannot open the write-ahead log"):
        Log.open(tmp_path / "wal")


def test_full_disk_is_reported_and_the_next_append_goes_on(tmp_path: Path) -> None:
    disk = FaultyDisk()
    log = Log.open(tmp_path, disk=disk)
    disk.fail = {"write": [FULL]}

    with pytest.raises(DiskFailed, match="free some space and write again"):
        log.append([write(1.0)])
    number = log.append([write(2.0)])

    assert not log.is_failed
    assert (number, loads(log)) == (2, [2.0])
    log.close()


@pytest.mark.parametrize("call", ["write", "sync"])
def test_broken_disk_closes_the_log_to_writes_until_it_is_opened_again(
    tmp_path: Path, call: str
) -> None:
    disk = FaultyDisk()
    log = Log.open(tmp_path, disk=disk)
    log.append([write(1.0)])
    disk.fail = {call: [BROKEN]}

    for _ in range(2):
        with pytest.raises(DiskFailed, match="check the disk and restart"):
            log.append([write(2.0)])

    assert log.is_failed
    assert loads(log) == [1.0]
    log.close()
    log = Log.open(tmp_path)
    log.append([write(3.0)])
    assert loads(log) == [1.0, 3.0]
    log.close()


@pytest.mark.parametrize(
    "fail",
    [
        {"create": [FULL]},
        {"write": [FULL]},
        {"write": [None, FULL]},
    ],
    ids=["create", "header", "checkpoint"],
)
def test_full_disk_at_a_rotation_is_tried_again(
    tmp_path: Path, fail: dict[str, list[OSError | None]]
) -> None:
    disk = FaultyDisk()
    log = Log.open(tmp_path, segment_bytes=1, disk=disk)
    log.append([write(1.0)])
    disk.fail = fail

    with pytest.raises(DiskFailed, match="free some space"):
        log.append([write(2.0)])
    left = len(segments(tmp_path))
    number = log.append([write(3.0)])
    log.close()
    log = Log.open(tmp_path)

    assert (left, number) == (1, 4)
    assert loads(log) == [1.0, 3.0]
    log.close()


def test_lack_of_descriptors_at_a_rotation_is_passing(tmp_path: Path) -> None:
    log = Log.open(tmp_path, segment_bytes=1)
    log.append([write(1.0)])
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        with pytest.raises(DiskFailed, match="Too many open files"):
            log.append([write(2.0)])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    log.append([write(3.0)])
    assert loads(log) == [1.0, 3.0]
    log.close()


@pytest.mark.parametrize(
    "fail",
    [
        {"create": [BROKEN]},
        {"sync": [BROKEN]},
        {"sync": [None, BROKEN]},
        {"write": [FULL], "unlink": [BROKEN]},
    ],
    ids=["create", "header", "checkpoint", "full and not removed"],
)
def test_broken_disk_at_a_rotation_is_final_and_recovered(
    tmp_path: Path, fail: dict[str, list[OSError | None]]
) -> None:
    disk = FaultyDisk()
    log = Log.open(tmp_path, segment_bytes=1, disk=disk)
    log.append([write(1.0)])
    disk.fail = fail

    with pytest.raises(DiskFailed, match="restart"):
        log.append([write(2.0)])

    assert log.is_failed
    log.close()
    log = Log.open(tmp_path)
    log.append([write(3.0)])
    assert loads(log) == [1.0, 3.0]
    log.close()


def test_segments_that_could_not_be_removed_stay_a_whole_log(tmp_path: Path) -> None:
    filled(tmp_path, [[1.0], [2.0], [3.0]], segment_bytes=1)
    disk = FaultyDisk()
    log = Log.open(tmp_path, disk=disk)
    disk.fail = {"unlink": [None, BROKEN]}

    with pytest.raises(DiskFailed, match="cannot remove old segments"):
        log.drop_before(log.next_sequence)
    log.close()
    log = Log.open(tmp_path)

    assert loads(log) == [2.0, 3.0]
    log.close()
