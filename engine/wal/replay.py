"""Read the records of a sound log, one in memory at a time. Any thread, also while others append.

A trigger that lags reads its events from here; so does the server when it starts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from engine.errors import DamagedRecord, DiskFailed, LogDropped
from engine.model.entry import Entry
from engine.wal.record import decode
from engine.wal.recovery import corrupt
from engine.wal.scan import RawRecord, SegmentReader
from engine.wal.segment import SegmentFile

__all__ = ["read_records"]


def read_records(
    files: Sequence[SegmentFile], start: int, end: int
) -> Iterator[tuple[int, list[Entry]]]:
    """Yield the first sequence and the entries of the records that touch [start, end).

    Args:
        files: adjoining segments, oldest first.
        start: records that end before it are passed over.
        end: where a record begins, or the end of the log.

    Raises:
        CorruptLog: the files do not hold what they should.
        LogDropped: a segment is not there any more.
        DiskFailed: the disk refused.
    """
    for number, file in enumerate(files):
        stop = files[number + 1].first_sequence if number + 1 < len(files) else end
        if stop > start:
            yield from _read_segment(file, start, stop)


def _read_segment(file: SegmentFile, start: int, stop: int) -> Iterator[tuple[int, list[Entry]]]:
    reader = SegmentReader(file)
    try:
        for record in reader.records(stop):
            if record.next_sequence > start:
                yield record.first_sequence, _entries(file, record)
    except FileNotFoundError as error:
        raise LogDropped(f"entries from {file.first_sequence} on are no longer kept") from error
    except OSError as error:
        raise DiskFailed(f"cannot read the write-ahead log: {error}") from error
    if reader.next_sequence != stop:
        offset = 0 if reader.ending is None else reader.ending.offset
        raise corrupt(file.path, offset, f"entry {reader.next_sequence} is missing")


def _entries(file: SegmentFile, record: RawRecord) -> list[Entry]:
    try:
        return decode(record.payload)
    except DamagedRecord as error:
        raise corrupt(file.path, record.offset, str(error)) from error
