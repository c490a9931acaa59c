"""Read the records of a sound log, one in memory at a time. Any thread, also while others append.

A trigger that lags reads its events from here; so does the server when it starts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from engine.errors import DamagedRecord, DiskFailed, LogDropped
from engine.model.entry import Entry
from engine.wal.heads import TableCount, decode_heads
from engine.wal.record import decode, written_ns
from engine.wal.recovery import corrupt
from engine.wal.scan import EndingKind, RawRecord, SegmentReader
from engine.wal.segment import SegmentFile
from engine.wal.shelf import Shelf

__all__ = ["Head", "Read", "read_heads", "read_records"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Read:
    """One record.

    Args:
        first: sequence of its first entry.
        written_ns: the wall clock when it was committed; it may go back between records.
        entries: at least one.
    """

    first: int
    written_ns: int
    entries: Sequence[Entry]


@dataclass(frozen=True, slots=True)
class Head:
    """One record without its rows.

    Args:
        first: sequence of its first entry.
        written_ns: the wall clock when it was committed.
        entries: each without tables, and what its tables are: database id, table id, rows.
    """

    first: int
    written_ns: int
    entries: Sequence[tuple[Entry, tuple[TableCount, ...]]]


def read_records(shelf: Shelf, start: int, end: int) -> Iterator[Read]:
    """Yield the records that touch [start, end).

    Args:
        shelf: the segments.
        start: records that end before it are passed over.
        end: where a record begins, or the end of the log.

    Raises:
        CorruptLog: the files do not hold what they should.
        LogDropped: the start, or a segment on the way, is not there any more.
        DiskFailed: the disk refused.
    """
    return _read(shelf, start, end, lambda record, payload: Read(*record, decode(payload)))


def read_heads(shelf: Shelf, start: int, end: int) -> Iterator[Head]:
    """Yield the records that touch [start, end) without their rows; else as `read_records`."""
    return _read(shelf, start, end, lambda record, payload: Head(*record, decode_heads(payload)))


def _read(
    shelf: Shelf, start: int, end: int, made: Callable[[tuple[int, int], bytes], T]
) -> Iterator[T]:
    files = [file for file in shelf.files() if file.first_sequence < end]
    if not files or start < files[0].first_sequence:
        raise LogDropped(shelf.files()[0].first_sequence)
    return (
        _made(file, record, made)
        for file, after in zip(files, [*files[1:], None], strict=True)
        if after is None or after.first_sequence > start
        for record in _read_segment(shelf, file, after, start, end)
    )


def _read_segment(
    shelf: Shelf, file: SegmentFile, after: SegmentFile | None, start: int, end: int
) -> Iterator[RawRecord]:
    stop = end if after is None else after.first_sequence
    reader = SegmentReader(file)
    try:
        for record in reader.records(stop, shelf.place(file, start)):
            if record.next_sequence > start:
                shelf.note(file, (record.first_sequence, record.offset))
                yield record
        if reader.next_sequence != stop and not _is_gap(after, reader):
            offset = 0 if reader.ending is None else reader.ending.offset
            raise corrupt(file.path, offset, f"entry {reader.next_sequence} is missing")
    except FileNotFoundError as error:
        raise LogDropped(stop) from error
    except OSError as error:
        raise DiskFailed(f"cannot read the write-ahead log: {error}") from error


def _is_gap(after: SegmentFile | None, reader: SegmentReader) -> bool:
    """Whether a repair has given up what is missing between two segments."""
    if after is None or reader.ending is None or reader.ending.kind is not EndingKind.CLEAN:
        return False
    following = SegmentReader(after)
    return following.check_header() is None and following.follows == reader.next_sequence


def _made(file: SegmentFile, record: RawRecord, made: Callable[[tuple[int, int], bytes], T]) -> T:
    try:
        return made((record.first_sequence, written_ns(record.payload)), record.payload)
    except DamagedRecord as error:
        raise corrupt(file.path, record.offset, str(error)) from error
