"""Bring a log directory back to a state that can be appended to. Called once, by `Log.open`.

Only the last segment may have an unfinished write, which is cut off. A last segment without any
record was begun by a rotation that did not get further: it is removed, and the one before, which
was complete by then, is the last again. Anything else that is wrong is reported and left alone.
Since each segment begins with a checkpoint, only the last one is folded.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from engine.errors import CorruptLog, DamagedRecord
from engine.model.entry import CheckpointEntry, Entry
from engine.wal.disk import Disk
from engine.wal.progress import Progress
from engine.wal.record import decode_without_rows
from engine.wal.repair import cut_tail, remove_empty
from engine.wal.scan import Ending, EndingKind, RawRecord, SegmentReader
from engine.wal.segment import SegmentFile

__all__ = ["Recovered", "check_adjoining", "corrupt", "recover", "segment_files"]

_SEGMENT_NAME = re.compile(r"(\d{20})\.wal")
_FIRST_SEQUENCE = 1
_ADVICE = (
    "`bulkhead wal verify` tells what is damaged; to go on without the entries from there on, use "
    "`bulkhead wal repair`."
)


@dataclass(frozen=True, slots=True)
class Recovered:
    """A sound log.

    Args:
        files: oldest first; empty for a new log.
        progress: the fold of all entries.
        sizes: bytes of each.
        seed: checksum seed of the last segment.
    """

    files: tuple[SegmentFile, ...]
    sizes: tuple[int, ...]
    progress: Progress
    seed: int


def recover(directory: Path, disk: Disk, checked_from: int | Callable[[], int] = 0) -> Recovered:
    """Check every segment, repair the last one, and fold its entries.

    Args:
        directory: of the log.
        disk: the calls that change the disk.
        checked_from: of segments wholly below this sequence only the header is looked at; or a
            function that tells it.

    Raises:
        CorruptLog: something other than an unfinished last write is wrong; nothing was changed.
        OSError: the disk refused.
    """
    files = segment_files(directory)
    checked_from = checked_from() if callable(checked_from) else checked_from
    sizes = []
    for file, after in pairwise(files):
        if after.first_sequence > checked_from:
            end, size = _check_complete(file)
            check_adjoining(after, end)
        else:
            size = _check_header(file)
        sizes.append(size)
    if files and not _repair_last(files, disk):
        files.pop()
    if not files:
        return Recovered((), (), Progress(), 0)
    return _fold_last(files, sizes)


def corrupt(path: Path, offset: int, reason: str) -> CorruptLog:
    """Word the error for damage in a segment."""
    return CorruptLog(
        f"the write-ahead log is damaged: {path} at byte {offset}: {reason}. "
        f"Nothing was changed. Restore the file from a backup. {_ADVICE}"
    )


def segment_files(directory: Path) -> list[SegmentFile]:
    """Return the segments in a directory, oldest first."""
    found = [(path, _SEGMENT_NAME.fullmatch(path.name)) for path in directory.iterdir()]
    files = [SegmentFile(path, int(match[1])) for path, match in found if match]
    return sorted(files, key=lambda file: file.first_sequence)


def check_adjoining(file: SegmentFile, end: int) -> None:
    """Check that a segment follows the one before it, which ends before sequence `end`.

    Raises:
        CorruptLog: it does not, and no repair says that entries were given up there.
    """
    reader = SegmentReader(file)
    if file.first_sequence != end and (reader.check_header() is not None or reader.follows != end):
        raise CorruptLog(
            f"the write-ahead log is incomplete: {file.path} begins with entry "
            f"{file.first_sequence}, but the segment before it ends with {end - 1}. "
            f"Put the missing segment back. {_ADVICE}"
        )


def _check_header(file: SegmentFile) -> int:
    """Return the size of a segment that is taken to be whole."""
    ending = SegmentReader(file).check_header()
    if ending is not None:
        raise corrupt(file.path, ending.offset, ending.reason)
    return file.path.stat().st_size


def _check_complete(file: SegmentFile) -> tuple[int, int]:
    """Return the sequence after a segment that must be whole, and its size."""
    reader = SegmentReader(file)
    ending = _drain(reader)
    if ending.kind is not EndingKind.CLEAN:
        raise corrupt(file.path, ending.offset, f"{ending.reason}, and later segments follow")
    return reader.next_sequence, ending.offset


def _repair_last(files: Sequence[SegmentFile], disk: Disk) -> bool:
    """Cut what is unfinished; return whether the last segment remains."""
    file = files[-1]
    reader = SegmentReader(file)
    ending = _drain(reader)
    if ending.kind is EndingKind.CORRUPT:
        raise corrupt(file.path, ending.offset, ending.reason)
    if reader.next_sequence == file.first_sequence:
        if len(files) == 1 and file.first_sequence != _FIRST_SEQUENCE:
            reason = "the only segment has lost its checkpoint"
            raise corrupt(file.path, ending.offset, reason)
        remove_empty(file.path, ending.reason, disk)
        return False
    if ending.kind is EndingKind.TORN:
        cut_tail(file.path, ending.offset, ending.reason, disk)
    return True


def _drain(reader: SegmentReader) -> Ending:
    for _ in reader.records():
        pass
    if reader.ending is None:
        raise AssertionError("a reader without a limit has come to an end")
    return reader.ending


def _fold_last(files: Sequence[SegmentFile], sizes: Sequence[int]) -> Recovered:
    file = files[-1]
    reader = SegmentReader(file)
    progress = Progress()
    for record in reader.records():
        entries = _heads(file, record)
        if record.first_sequence == file.first_sequence and not isinstance(
            entries[0], CheckpointEntry
        ):
            raise corrupt(file.path, record.offset, "the segment does not begin with a checkpoint")
        for sequence, entry in enumerate(entries, record.first_sequence):
            progress.apply(sequence, entry)
    end = 0 if reader.ending is None else reader.ending.offset
    return Recovered(tuple(files), (*sizes[: len(files) - 1], end), progress, reader.seed)


def _heads(file: SegmentFile, record: RawRecord) -> list[Entry]:
    try:
        return decode_without_rows(record.payload)
    except DamagedRecord as error:
        raise corrupt(file.path, record.offset, str(error)) from error
