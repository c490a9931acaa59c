"""Look at a log without changing it: what its segments hold, and everything that is wrong.

For the commands that a user runs by hand; any thread, also while a server appends. Unlike the
start of a server it goes on after damage, and decodes all rows.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from engine.errors import CorruptLog, DamagedRecord
from engine.model.entry import CheckpointEntry, Entry
from engine.wal.progress import Progress
from engine.wal.record import decode, written_ns
from engine.wal.recovery import check_adjoining, segment_files
from engine.wal.scan import EndingKind, RawRecord, SegmentReader
from engine.wal.segment import SegmentFile

__all__ = ["Problem", "SegmentSurvey", "Survey", "survey_log"]


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong in a file.

    Args:
        path: of the segment.
        offset: of the first bad byte, or of the record that has it.
        sequence: the first entry that cannot be read.
        reason: what is wrong.
        is_repaired_at_start: an unfinished last write, which a server cuts by itself.
    """

    path: Path
    offset: int
    sequence: int
    reason: str
    is_repaired_at_start: bool = False


@dataclass(slots=True)
class SegmentSurvey:
    """What one segment holds; `end` is the sequence after its last good entry."""

    file: SegmentFile
    size_bytes: int
    end: int
    used_bytes: int = 0
    records: int = 0
    rows: int = 0
    first_ns: int | None = None
    last_ns: int | None = None
    checkpoint: CheckpointEntry | None = None
    problems: list[Problem] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Survey:
    """All segments, oldest first, and what the log says about triggers at its end."""

    segments: tuple[SegmentSurvey, ...]
    problems: tuple[Problem, ...]
    state: CheckpointEntry

    @property
    def damage(self) -> tuple[Problem, ...]:
        """The problems that keep a server from starting, or a trigger from reading, in order."""
        found = [problem for problem in self.problems if not problem.is_repaired_at_start]
        return tuple(sorted(found, key=lambda problem: (problem.path, problem.offset)))


def survey_log(directory: Path) -> Survey:
    """Read all of a log.

    Raises:
        OSError: a file cannot be read.
    """
    files = segment_files(directory)
    progress = Progress()
    segments = [_segment(file, progress, is_last=file is files[-1]) for file in files]
    if len(segments) == 1 and segments[0].records == 0 and files[0].first_sequence > 1:
        reason = "the only segment has lost its checkpoint"
        segments[0].problems = [_problem(files[0], 0, files[0].first_sequence, reason)]
    problems = [problem for segment in segments for problem in segment.problems]
    for before, after in pairwise(segments):
        if not before.problems:
            problems += _gap(before, after)
    return Survey(tuple(segments), tuple(problems), progress.checkpoint())


def _segment(file: SegmentFile, progress: Progress, *, is_last: bool) -> SegmentSurvey:
    found = SegmentSurvey(file, file.path.stat().st_size, file.first_sequence)
    reader = SegmentReader(file)
    for record in reader.records():
        try:
            _count(found, record, progress)
        except DamagedRecord as error:
            reason = f"its checksums are right, but {error}"
            found.problems.append(_problem(file, record.offset, record.first_sequence, reason))
            return found
    ending = reader.ending
    if ending is None:
        raise AssertionError("a reader without a limit has come to an end")
    found.used_bytes = ending.offset
    if ending.kind is not EndingKind.CLEAN:
        is_unfinished = is_last and ending.kind is EndingKind.TORN
        found.problems.append(
            Problem(file.path, ending.offset, reader.next_sequence, ending.reason, is_unfinished)
        )
    return found


def _count(found: SegmentSurvey, record: RawRecord, progress: Progress) -> None:
    entries = decode(record.payload)
    is_first = found.records == 0
    if is_first:
        found.checkpoint = _checkpoint(entries)
        found.first_ns = written_ns(record.payload)
    found.records += 1
    found.end = record.next_sequence
    found.last_ns = written_ns(record.payload)
    for sequence, entry in enumerate(entries, record.first_sequence):
        progress.apply(sequence, entry)
        if not isinstance(entry, CheckpointEntry):
            found.rows += sum(table.rows.num_rows for table in entry.tables)


def _checkpoint(entries: list[Entry]) -> CheckpointEntry:
    if not isinstance(entries[0], CheckpointEntry):
        raise DamagedRecord("the segment does not begin with a checkpoint")
    return entries[0]


def _gap(before: SegmentSurvey, after: SegmentSurvey) -> list[Problem]:
    try:
        check_adjoining(after.file, before.end)
    except CorruptLog:
        reason = f"entries {before.end} to {after.file.first_sequence - 1} are in no segment"
        return [_problem(after.file, 0, before.end, reason)]
    return []


def _problem(file: SegmentFile, offset: int, sequence: int, reason: str) -> Problem:
    return Problem(file.path, offset, sequence, reason)
