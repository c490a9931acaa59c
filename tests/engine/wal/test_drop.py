"""Giving up entries from a damage on: the log opens again, and no sequence is used twice."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.model.entry import Position
from engine.wal.disk import Disk
from engine.wal.drop import Loss, drop_from, loss_of
from engine.wal.log import Log
from engine.wal.segment import WriteFailed
from engine.wal.survey import survey_log
from tests.engine.wal.samples import FaultyDisk, filled, loads, run, segments, write


def flip(path: Path, offset: int) -> None:
    content = bytearray(path.read_bytes())
    content[offset] ^= 0x10
    path.write_bytes(content)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Three segments: entries 1-3, 4-6 and 7-9; a trigger is done below 8 in the last."""
    directory = tmp_path / "wal"
    for first in (0.0, 2.0):
        filled(directory, [[first]], segment_bytes=1)
        filled(directory, [[first + 1]])
    log = Log.open(directory, segment_bytes=1)
    log.append([run(1, 8), write(4.0)])
    log.close()
    assert [int(path.stem) for path in segments(directory)] == [1, 4, 7]
    return directory


def dropped(directory: Path) -> Loss:
    survey = survey_log(directory)
    return drop_from(directory, survey.damage[0], survey.state, Disk())


def first_record(path: Path) -> None:
    flip(path, 40 + 30)


def last_record(path: Path) -> None:
    flip(path, path.stat().st_size - 20)


def header(path: Path) -> None:
    flip(path, 25)


def salt(path: Path) -> None:
    flip(path, 17)


def removed(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize(
    ("damage", "first", "left"),
    [
        (first_record, 4, [0.0, 1.0]),
        (last_record, 6, [0.0, 1.0, 2.0]),
        (header, 4, [0.0, 1.0]),
        (salt, 4, [0.0, 1.0]),
        (removed, 4, [0.0, 1.0]),
    ],
)
def test_log_goes_on_after_what_was_given_up(
    directory: Path, damage: Callable[[Path], None], first: int, left: list[float]
) -> None:
    damage(segments(directory)[1])

    loss = dropped(directory)

    assert (loss.first, loss.end) == (first, 10)
    assert survey_log(directory).problems == ()
    for value in (90.0, 91.0):
        log = Log.open(directory)
        assert loads(log) == left
        assert log.append([write(value)]) > 10
        left = [*left, value]
        log.close()


def test_positions_that_can_still_be_read_are_kept(directory: Path) -> None:
    last_record(segments(directory)[1])

    dropped(directory)

    log = Log.open(directory)
    assert log.checkpoint().positions == {1: Position(8)}
    log.close()


def test_what_was_given_up_is_kept_as_broken(directory: Path) -> None:
    _, damaged, later = segments(directory)
    last_record(damaged)
    content = later.read_bytes()

    dropped(directory)

    assert later.with_name(f"{later.name}.broken").read_bytes() == content
    assert damaged.with_name(f"{damaged.name}.broken").exists()


def test_damage_in_the_last_segment_counts_the_entries_behind_it(directory: Path) -> None:
    log = Log.open(directory)
    log.append([write(5.0)])
    log.append([write(6.0), write(7.0)])
    log.close()
    flip(segments(directory)[-1], 40 + 30)

    loss = loss_of(directory, survey_log(directory).damage[0])

    assert (loss.first, loss.end, loss.later) == (7, 13, ())


def test_whole_log_may_be_given_up(directory: Path) -> None:
    header(segments(directory)[0])

    loss = dropped(directory)

    assert (loss.first, loss.end) == (1, 10)
    log = Log.open(directory)
    assert loads(log) == []
    assert log.append([write(1.0)]) == 11
    log.close()


@pytest.mark.parametrize("step", range(4))
def test_interrupted_repair_can_be_done_again(directory: Path, step: int) -> None:
    last_record(segments(directory)[1])
    survey = survey_log(directory)
    disk = FaultyDisk()
    broken = OSError(errno.EIO, "Input/output error")
    disk.fail = {"sync": [*[None] * step, broken]}

    try:
        drop_from(directory, survey.damage[0], survey.state, disk)
    except (OSError, WriteFailed):
        assert survey_log(directory).damage or step == 3
    if survey_log(directory).damage:
        dropped(directory)

    log = Log.open(directory)
    assert loads(log) == [0.0, 1.0, 2.0]
    assert log.next_sequence > 10
    log.close()


def test_only_segment_without_its_checkpoint_is_damage(directory: Path) -> None:
    *older, path = segments(directory)
    for old in older:
        old.unlink()
    path.write_bytes(path.read_bytes()[:48])

    (problem,) = survey_log(directory).damage

    assert problem.reason == "the only segment has lost its checkpoint"
    dropped(directory)
    Log.open(directory).close()
