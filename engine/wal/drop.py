"""Give up the entries of a log from a damage on, at the user's word.

What is given up stays in the folder under names that end in `.broken`. The log goes on after the
last entry that may have been written, in a segment that says what is missing: files and positions
name sequences, so none may be used twice. That segment is made first and the damaged one is cut
last, so that whatever interrupts this leaves a log that is refused and can be cut again.

Called with the directory's lock held.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from engine.model.entry import CheckpointEntry
from engine.wal.disk import Disk
from engine.wal.recovery import segment_files
from engine.wal.repair import cut_tail, set_aside
from engine.wal.rotation import begin_segment
from engine.wal.scan import SegmentReader
from engine.wal.segment import SegmentFile
from engine.wal.survey import Problem

__all__ = ["Loss", "drop_from", "loss_of"]


@dataclass(frozen=True, slots=True)
class Loss:
    """What giving up from a damage on costs.

    Args:
        first: sequence of the first entry that is lost.
        end: sequence after the last that may have been written.
        later: segments that go as a whole, oldest first.
    """

    first: int
    end: int
    later: tuple[SegmentFile, ...]


def loss_of(directory: Path, problem: Problem) -> Loss:
    """Return what is lost by giving up from a problem on.

    Raises:
        OSError: the disk refused.
    """
    files = segment_files(directory)
    later = tuple(file for file in files if file.path > problem.path)
    if later:
        end = SegmentReader(later[-1]).end_after(0, later[-1].first_sequence)
    else:
        end = SegmentReader(files[-1]).end_after(problem.offset, problem.sequence)
    return Loss(problem.sequence, end, later)


def drop_from(directory: Path, problem: Problem, state: CheckpointEntry, disk: Disk) -> Loss:
    """Cut the log at a problem and begin a segment after what is lost.

    Args:
        directory: of the log.
        problem: the first one.
        state: what is known of the triggers, for the new segment's checkpoint.
        disk: the calls that change the disk.

    Raises:
        OSError: the disk refused.
        WriteFailed: likewise, when the new segment was begun.
    """
    loss = loss_of(directory, problem)
    begun = SegmentFile.within(directory, max(loss.end, loss.first + 1))
    begin_segment(begun, state, disk, time.time_ns(), follows=loss.first).close()
    for file in reversed(loss.later):
        set_aside(file.path, disk)
    if problem.sequence <= int(problem.path.stem):
        # Not even its checkpoint is good.
        set_aside(problem.path, disk)
    else:
        cut_tail(problem.path, problem.offset, problem.reason, disk)
    return loss
