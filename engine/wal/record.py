"""The byte format of the write-ahead log. Pure; any thread.

Integers are little-endian, and unsigned unless said otherwise. A segment is a header, then records
without gaps, each at a multiple of 8; zeros may follow.

Segment header, 40 bytes:

    0   8  magic            F7 42 48 57 41 4C 0D 0A
    8   4  version          2
    12  4  header crc32c    of bytes 0-11 and 16-39
    16  8  salt             random; its crc32c is the seed of every checksum in the records
    24  8  first sequence   of the first entry, as in the file's name
    32  8  follows          the sequence after the last entry of the segment before it: the first
                            sequence again, or less when a repair gave entries up

Record, a multiple of 8 bytes:

    0   4  magic            F7 52 45 43
    4   4  length           of the payload: a multiple of 8, at most 1 GiB
    8   8  first sequence   of the record's first entry
    16  4  header crc32c    of bytes 0-15 and 20-23, seeded
    20  4  payload crc32c   of the payload, seeded
    24  -  payload

Payload:

    0   4  entry count      at least 1; the next record's first sequence is higher by this
    4   4  head length      of the msgpack head, without padding
    8   8  written          wall clock of the commit, signed nanoseconds since the epoch, UTC
    16  -  head             msgpack, see `entries`; then zero bytes up to a multiple of 8
    -   -  blocks           Arrow IPC streams one after the other, see `blocks`

The salt makes headers unguessable: the search for a later record (see `scan`) cannot be misled by
values that a client wrote, nor by what an older file left on the disk.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias

from crc32c import crc32c

from engine.errors import DamagedRecord, InvalidEntry
from engine.model.entry import CheckpointEntry, Entry
from engine.wal.blocks import Buffer, check_rows, open_stream, with_rows, write_stream
from engine.wal.entries import BlockName, RecordHead, RowRange, pack_head, unpack_head
from engine.wal.join import is_large, join_rows

__all__ = [
    "MAX_PAYLOAD_BYTES",
    "RECORD_HEADER_BYTES",
    "RECORD_MAGIC",
    "SALT_PLACE",
    "SEGMENT_HEADER_BYTES",
    "VERSION",
    "RecordHeader",
    "SegmentHeader",
    "Streams",
    "check_entry",
    "decode",
    "decode_without_rows",
    "encode",
    "encode_ahead",
    "encode_segment_header",
    "entry_count",
    "is_intact",
    "parse_record_header",
    "parse_segment_header",
    "segment_seed",
    "split_head",
    "written_ns",
]

Streams: TypeAlias = Mapping[int, Sequence[Buffer]]  # by the identity of the rows

VERSION = 2
RECORD_MAGIC = b"\xf7REC"
SEGMENT_MAGIC = b"\xf7BHWAL\r\n"
MAX_PAYLOAD_BYTES = 1 << 30

_SEGMENT = struct.Struct("<8sII8sQQ")
_RECORD = struct.Struct("<4sIQII")
_PAYLOAD = struct.Struct("<IIq")
SEGMENT_HEADER_BYTES = _SEGMENT.size
SALT_PLACE = slice(16, 24)
RECORD_HEADER_BYTES = _RECORD.size


@dataclass(frozen=True, slots=True)
class SegmentHeader:
    """The intact header of a segment of any version; `seed` is for its records' checksums."""

    version: int
    seed: int
    first_sequence: int
    follows: int


@dataclass(frozen=True, slots=True)
class RecordHeader:
    """The intact header of a record; its payload may still be damaged."""

    length: int
    first_sequence: int
    payload_crc: int


def encode_segment_header(first_sequence: int, salt: bytes, follows: int | None = None) -> bytes:
    """Return the first 40 bytes of a segment.

    Args:
        first_sequence: of the entry that will come first.
        salt: 8 random bytes.
        follows: the sequence after the segment before it; None for the first sequence.
    """
    head = struct.pack("<8sI", SEGMENT_MAGIC, VERSION)
    before = first_sequence if follows is None else follows
    tail = struct.pack("<8sQQ", salt, first_sequence, before)
    return head + crc32c(head + tail).to_bytes(4, "little") + tail


def segment_seed(salt: bytes) -> int:
    """Return the seed of the checksums of a segment's records."""
    return crc32c(salt)


def parse_segment_header(data: bytes) -> SegmentHeader | None:
    """Read the first bytes of a segment of any version; None when they are damaged."""
    if len(data) != SEGMENT_HEADER_BYTES:
        return None
    if data[:12] == SEGMENT_MAGIC + (1).to_bytes(4, "little"):
        return SegmentHeader(1, 0, 0, 0)  # before the first release; its header was shorter
    magic, version, crc, salt, first_sequence, follows = _SEGMENT.unpack(data)
    if magic != SEGMENT_MAGIC or crc != crc32c(data[:12] + data[16:]):
        return None
    return SegmentHeader(version, segment_seed(salt), first_sequence, follows)


def encode_ahead(entry: Entry) -> Streams:
    """Return the streams of an entry's large tables, which do not depend on its record."""
    if isinstance(entry, CheckpointEntry):
        return {}
    large = [table.rows for table in entry.tables if is_large(table.rows)]
    return {id(rows): write_stream(rows) for rows in large}


def encode(
    first_sequence: int,
    entries: Sequence[Entry],
    seed: int = 0,
    *,
    written_ns: int = 0,
    streams: Streams = MappingProxyType({}),
) -> list[Buffer]:
    """Return a record as buffers for one vectored write.

    Rows of a large table are not copied when one entry holds them, and once when several do.

    Args:
        first_sequence: of the first entry.
        entries: at least one.
        seed: of the segment's checksums.
        written_ns: the wall clock.
        streams: what `encode_ahead` made of these very entries.

    Raises: InvalidEntry for rows not laid out as `TableRows`, or a record past its limit.
    """
    blocks, ranges = join_rows(entries)
    bodies = [streams.get(id(block.rows)) or write_stream(block.rows) for block in blocks]
    names = [
        BlockName(block.database_id, block.table_id, sum(map(len, stream)))
        for block, stream in zip(blocks, bodies, strict=True)
    ]
    head = pack_head(entries, ranges, names)
    front = _PAYLOAD.pack(len(entries), len(head), written_ns) + head + bytes(-len(head) % 8)
    body: list[Buffer] = [front]
    for stream in bodies:
        body.extend(stream)
    return [_record_header(first_sequence, body, seed), *body]


def check_entry(entry: Entry) -> None:
    """Check that an entry can be encoded and will be decoded as it is.

    `encode` leaves this to whoever hands the entry in, so that a bad one fails alone and the thread
    that commits does not pay for it.

    Raises:
        InvalidEntry: it cannot.
    """
    try:
        ranges: list[RowRange] = []
        if not isinstance(entry, CheckpointEntry):
            for table in entry.tables:
                check_rows(table.rows)
                ranges.append(RowRange(table.table_id, table.database_id, 0, None))
        unpack_head(pack_head([entry], [ranges], []))
    except (ValueError, OverflowError, DamagedRecord) as error:
        raise InvalidEntry(f"an entry cannot be written to the log: {error}") from error


def parse_record_header(data: bytes, seed: int) -> RecordHeader | None:
    """Read the 24 bytes before a payload; None when they are damaged or no header at all."""
    if len(data) != RECORD_HEADER_BYTES or data[:4] != RECORD_MAGIC:
        return None
    _, length, first_sequence, crc, payload_crc = _RECORD.unpack(data)
    if crc != _header_crc(data[:16], data[20:], seed):
        return None
    if length % 8 or not _PAYLOAD.size <= length <= MAX_PAYLOAD_BYTES:
        return None
    return RecordHeader(length, first_sequence, payload_crc)


def is_intact(payload: bytes, header: RecordHeader, seed: int) -> bool:
    """Whether the payload is the one that the header was written for."""
    return len(payload) == header.length and crc32c(payload, seed) == header.payload_crc


def entry_count(payload: bytes) -> int:
    """Return how many entries a payload holds."""
    count: int = _PAYLOAD.unpack_from(payload)[0]
    return count


def written_ns(payload: bytes) -> int:
    """Return the wall clock of the commit of an intact payload."""
    time_ns: int = _PAYLOAD.unpack_from(payload)[2]
    return time_ns


def decode(payload: bytes) -> list[Entry]:
    """Return the entries of a payload; their rows refer to its memory.

    Raises:
        DamagedRecord: it is not exactly what `encode` makes; nothing else, whatever the bytes.
    """
    head, position = _read_head(payload)
    if position + sum(block.length for block in head.blocks) != len(payload):
        raise DamagedRecord("the blocks do not end where the payload does")
    batches = []
    view = memoryview(payload)
    for block in head.blocks:
        batches.append(open_stream(view[position : position + block.length]))
        position += block.length
    return with_rows(head, batches)


def decode_without_rows(payload: bytes) -> list[Entry]:
    """Return the entries of a payload with no tables in them, for what only follows progress.

    Raises:
        DamagedRecord: the head is not what `encode` makes.
    """
    return [entry for entry, _ in _read_head(payload)[0].entries]


def split_head(payload: bytes) -> tuple[int, bytes, int]:
    """Return how many entries a payload announces, its head, and where its blocks begin.

    Raises: DamagedRecord when the lengths do not fit.
    """
    if len(payload) < _PAYLOAD.size:
        raise DamagedRecord("the payload is shorter than its own lengths")
    count, length, _ = _PAYLOAD.unpack_from(payload)
    end = _PAYLOAD.size + length
    blocks_start = end + -end % 8
    if blocks_start > len(payload) or any(payload[end:blocks_start]):
        raise DamagedRecord("the head does not end where its length says")
    return count, payload[_PAYLOAD.size : end], blocks_start


def _record_header(first_sequence: int, body: Sequence[Buffer], seed: int) -> bytes:
    length = sum(map(len, body))
    if length > MAX_PAYLOAD_BYTES:
        raise InvalidEntry(
            f"a log record of {length} bytes is over the limit of {MAX_PAYLOAD_BYTES}; "
            "write fewer rows at once"
        )
    payload_crc = seed
    for buffer in body:
        payload_crc = crc32c(buffer, payload_crc)
    front = struct.pack("<4sIQ", RECORD_MAGIC, length, first_sequence)
    back = payload_crc.to_bytes(4, "little")
    return front + _header_crc(front, back, seed).to_bytes(4, "little") + back


def _header_crc(front: bytes, back: bytes, seed: int) -> int:
    return crc32c(front + back, seed)


def _read_head(payload: bytes) -> tuple[RecordHead, int]:
    count, data, blocks_start = split_head(payload)
    head = unpack_head(data)
    if len(head.entries) != count:
        raise DamagedRecord(f"{len(head.entries)} entries stand where {count} were announced")
    return head, blocks_start
