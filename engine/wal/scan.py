"""Read one file of the log, record by record, to a named ending.

A file ends CLEAN after a good record, or with nothing but zeros after it: room that was reserved
and not used. Else something stands there, and the rest of the file is searched for a valid record
header with a higher sequence. None means that the last write did not get through (TORN): it was
never acknowledged, or nothing came after it. One means that acknowledged records are damaged
(CORRUPT). A segment's header is synced before its first record, so a bad header with anything but
zeros after it is corrupt.

Any thread; each reader opens the file for itself and may read while another thread appends.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from engine.wal.record import (
    RECORD_HEADER_BYTES,
    RECORD_MAGIC,
    SALT_PLACE,
    SEGMENT_HEADER_BYTES,
    VERSION,
    RecordHeader,
    entry_count,
    is_intact,
    parse_record_header,
    parse_segment_header,
    segment_seed,
)
from engine.wal.segment import SegmentFile

__all__ = ["Ending", "EndingKind", "RawRecord", "SegmentReader"]

_SEARCH_BYTES = 4 * 1024 * 1024


class EndingKind(Enum):
    """How a segment ends."""

    CLEAN = "clean"
    TORN = "torn"
    CORRUPT = "corrupt"


@dataclass(frozen=True, slots=True)
class Ending:
    """What stands after the last good record.

    Args:
        kind: nothing, an unfinished write, or damage.
        offset: end of the last good record, in bytes; 0 when the segment's header is bad.
        reason: what is wrong there; empty when clean.
    """

    kind: EndingKind
    offset: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class RawRecord:
    """A record whose checksums are right; its entries are [first_sequence, next_sequence)."""

    offset: int
    first_sequence: int
    next_sequence: int
    payload: bytes


class SegmentReader:
    """Reads the records of one segment once.

    After `records` is exhausted: `ending` says how, or is None when the limit came first;
    `next_sequence` is the one after the last good record, `seed` the checksums' seed, `follows`
    where the segment before it ends.
    """

    def __init__(self, file: SegmentFile) -> None:
        self.file = file
        self.seed = 0
        self.follows = file.first_sequence
        self.next_sequence = file.first_sequence
        self.ending: Ending | None = None

    def __repr__(self) -> str:
        """Describe how far the reader has come."""
        ending = "not at its end" if self.ending is None else self.ending.kind.value
        return f"<reader of {self.file.path.name}: at {self.next_sequence}, {ending}>"

    def records(
        self, limit: int | None = None, place: tuple[int, int] | None = None
    ) -> Iterator[RawRecord]:
        """Yield the records that begin before sequence `limit`, checked but not decoded.

        Args:
            limit: None for all.
            place: sequence and offset of the record to begin with; None for the first.

        Raises:
            OSError: the file cannot be read.
        """
        with self.file.path.open("rb", buffering=0) as file:
            descriptor = file.fileno()
            size = os.fstat(descriptor).st_size
            self.ending = self._read_header(descriptor, size)
            self.next_sequence, offset = place or (self.next_sequence, SEGMENT_HEADER_BYTES)
            while self.ending is None and (limit is None or self.next_sequence < limit):
                if offset == size:
                    self.ending = Ending(EndingKind.CLEAN, offset)
                    return
                record = self._record_at(descriptor, offset)
                if isinstance(record, str):
                    self.ending = self._judge(descriptor, offset, record)
                    return
                self.next_sequence = record.next_sequence
                offset += RECORD_HEADER_BYTES + len(record.payload)
                yield record

    def check_header(self) -> Ending | None:
        """Read the segment's header alone; return the ending if it is bad.

        Raises:
            OSError: the file cannot be read.
        """
        with self.file.path.open("rb", buffering=0) as file:
            return self._read_header(file.fileno(), os.fstat(file.fileno()).st_size)

    def end_after(self, offset: int, sequence: int) -> int:
        """Return a sequence above all that a damaged segment holds from an offset on.

        Args:
            offset: from which on nothing is trusted.
            sequence: what stands there at least.

        Raises:
            OSError: the file cannot be read.
        """
        with self.file.path.open("rb", buffering=0) as file:
            descriptor = file.fileno()
            # The salt may be good though its header is not.
            salt = _read(descriptor, 0, SEGMENT_HEADER_BYTES)[SALT_PLACE]
            found = list(_headers_after(descriptor, offset, segment_seed(salt)))
            # Where nothing can be found any more, no entry takes fewer than 8 bytes.
            rest = 0 if found else os.fstat(descriptor).st_size - offset
            ends = [_end_of(descriptor, at, header) for at, header in found]
        return max([sequence + max(rest, 0) // 8, *ends])

    def _read_header(self, descriptor: int, size: int) -> Ending | None:
        header = parse_segment_header(_read(descriptor, 0, SEGMENT_HEADER_BYTES))
        if header is None:
            is_unfinished = _is_zero_after(descriptor, SEGMENT_HEADER_BYTES, size)
            kind = EndingKind.TORN if is_unfinished else EndingKind.CORRUPT
            return Ending(kind, 0, "the segment's header is damaged or incomplete")
        if header.version != VERSION:
            reason = f"the segment has format version {header.version}, not {VERSION}"
            return Ending(EndingKind.CORRUPT, 0, reason)
        if header.first_sequence != self.file.first_sequence:
            reason = f"the segment begins with entry {header.first_sequence}, not with its name"
            return Ending(EndingKind.CORRUPT, 0, reason)
        self.seed = header.seed
        self.follows = header.follows
        return None

    def _record_at(self, descriptor: int, offset: int) -> RawRecord | str:
        """Return the record, or what is wrong with it."""
        header = parse_record_header(_read(descriptor, offset, RECORD_HEADER_BYTES), self.seed)
        if header is None:
            return "the record's header is damaged or incomplete"
        if header.first_sequence != self.next_sequence:
            return f"entry {header.first_sequence} stands in the place of {self.next_sequence}"
        payload = _read(descriptor, offset + RECORD_HEADER_BYTES, header.length)
        if not is_intact(payload, header, self.seed):
            return "the record's payload is damaged or incomplete"
        end = header.first_sequence + entry_count(payload)
        return RawRecord(offset, header.first_sequence, end, payload)

    def _judge(self, descriptor: int, offset: int, reason: str) -> Ending:
        if _is_zero_after(descriptor, offset, os.fstat(descriptor).st_size):
            return Ending(EndingKind.CLEAN, offset)
        if self._is_followed(descriptor, offset):
            return Ending(EndingKind.CORRUPT, offset, f"{reason}, and a later one is good")
        return Ending(EndingKind.TORN, offset, reason)

    def _is_followed(self, descriptor: int, offset: int) -> bool:
        """Whether a valid header with a higher sequence stands at or after an offset."""
        found = _headers_after(descriptor, offset, self.seed)
        return any(header.first_sequence > self.next_sequence for _, header in found)


def _headers_after(descriptor: int, offset: int, seed: int) -> Iterator[tuple[int, RecordHeader]]:
    """Yield the valid record headers at or after an offset, each with its own."""
    while data := _read(descriptor, offset, _SEARCH_BYTES + RECORD_HEADER_BYTES):
        at = data.find(RECORD_MAGIC)
        while 0 <= at < _SEARCH_BYTES:
            header = parse_record_header(data[at : at + RECORD_HEADER_BYTES], seed)
            if header is not None:
                yield offset + at, header
            at = data.find(RECORD_MAGIC, at + 1)
        offset += _SEARCH_BYTES


def _end_of(descriptor: int, offset: int, header: RecordHeader) -> int:
    """Return the sequence after a record whose payload may be damaged."""
    front = _read(descriptor, offset + RECORD_HEADER_BYTES, 16).ljust(16, b"\0")
    return header.first_sequence + min(max(entry_count(front), 1), header.length // 8)


def _read(descriptor: int, offset: int, length: int) -> bytes:
    """Return `length` bytes, or fewer at the end of the file."""
    data = os.pread(descriptor, length, offset)
    while len(data) < length:
        more = os.pread(descriptor, length - len(data), offset + len(data))
        if not more:
            break
        data += more
    return data


def _is_zero_after(descriptor: int, offset: int, size: int) -> bool:
    while offset < size:
        data = _read(descriptor, offset, _SEARCH_BYTES)
        if data.count(0) != len(data):
            return False
        offset += len(data)
    return True
