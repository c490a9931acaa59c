"""Damage of every kind at every place of a segment, and what opening the log makes of it.

A log with three segments of three records each is damaged in one record. A damaged last record of
the last segment is cut, kept, and the log goes on; any other damage stops the server, which changes
nothing.
"""

from __future__ import annotations

import errno
import random
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from crc32c import crc32c

from engine.errors import CorruptLog, DiskFailed
from engine.wal.disk import Disk
from engine.wal.log import Log
from engine.wal.record import RECORD_HEADER_BYTES, encode
from engine.wal.scan import RawRecord, SegmentReader
from engine.wal.segment import SegmentFile, SegmentWriter
from tests.engine.wal.samples import FaultyDisk, filled, loads, segments, write

PAYLOAD = RECORD_HEADER_BYTES
HEAD = PAYLOAD + 16


def at_magic(record: RawRecord) -> int:
    return 0


def at_length(record: RawRecord) -> int:
    return 5


def at_sequence(record: RawRecord) -> int:
    return 8


def at_header_crc(record: RawRecord) -> int:
    return 17


def at_payload_crc(record: RawRecord) -> int:
    return 22


def at_count(record: RawRecord) -> int:
    return PAYLOAD


def at_written(record: RawRecord) -> int:
    return PAYLOAD + 10


def at_head_length(record: RawRecord) -> int:
    return PAYLOAD + 5


def at_head(record: RawRecord) -> int:
    return HEAD + 3


def at_padding(record: RawRecord) -> int:
    _, length, _ = struct.unpack_from("<IIq", record.payload)
    assert length % 8, "this record has no padding"
    return HEAD + int(length)


def at_arrow_data(record: RawRecord) -> int:
    return PAYLOAD + len(record.payload) - 20


PLACES = [
    at_magic,
    at_length,
    at_sequence,
    at_header_crc,
    at_payload_crc,
    at_count,
    at_head_length,
    at_written,
    at_head,
    at_padding,
    at_arrow_data,
]
by_place = pytest.mark.parametrize("place", PLACES, ids=lambda place: place.__name__)


@pytest.fixture(scope="session")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Segments of a checkpoint and two records: values 0-1, 2-3 and 4-5."""
    directory = tmp_path_factory.mktemp("sound") / "wal"
    for first in (0.0, 2.0, 4.0):
        filled(directory, [[first]], segment_bytes=1)
        filled(directory, [[first + 1]])
    assert [len(records(path)) for path in segments(directory)] == [3, 3, 3]
    return directory


@pytest.fixture
def directory(sound: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sound, tmp_path / "wal"))


def records(path: Path) -> list[RawRecord]:
    return list(SegmentReader(SegmentFile(path, int(path.stem))).records())


def flip(path: Path, offset: int) -> None:
    content = bytearray(path.read_bytes())
    content[offset] ^= 0x10
    path.write_bytes(content)


def state(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def assert_refused(directory: Path, path: Path, offset: int) -> None:
    before = state(directory)

    with pytest.raises(CorruptLog, match=f"{path} at byte {offset}: .*Restore the file"):
        Log.open(directory)

    assert state(directory) == before


def assert_repaired(directory: Path, left: list[float]) -> None:
    for value in (90.0, 91.0):
        log = Log.open(directory)
        assert loads(log) == left
        log.append([write(value)])
        left = [*left, value]
        log.close()


@by_place
def test_flipped_bit_in_the_last_record_is_cut_and_the_log_goes_on(
    directory: Path, place: Callable[[RawRecord], int]
) -> None:
    path = segments(directory)[-1]
    last = records(path)[-1]
    flip(path, last.offset + place(last))
    tail = path.read_bytes()[last.offset :]

    assert_repaired(directory, [0.0, 1.0, 2.0, 3.0, 4.0])

    assert path.with_name(f"{path.name}.broken").read_bytes() == tail


@by_place
def test_flipped_bit_in_an_earlier_record_of_the_last_segment_stops_the_server(
    directory: Path, place: Callable[[RawRecord], int]
) -> None:
    path = segments(directory)[-1]
    middle = records(path)[-2]
    flip(path, middle.offset + place(middle))

    assert_refused(directory, path, middle.offset)


@by_place
@pytest.mark.parametrize("number", [0, -1])
def test_flipped_bit_in_an_earlier_segment_stops_the_server(
    directory: Path, place: Callable[[RawRecord], int], number: int
) -> None:
    path = segments(directory)[1]
    record = records(path)[number]
    flip(path, record.offset + place(record))

    assert_refused(directory, path, record.offset)


@by_place
def test_truncated_last_record_is_cut_and_the_log_goes_on(
    directory: Path, place: Callable[[RawRecord], int]
) -> None:
    path = segments(directory)[-1]
    last = records(path)[-1]
    path.write_bytes(path.read_bytes()[: last.offset + place(last) + 1])

    assert_repaired(directory, [0.0, 1.0, 2.0, 3.0, 4.0])


@by_place
def test_zeros_after_a_crash_are_cut_and_the_log_goes_on(
    directory: Path, place: Callable[[RawRecord], int]
) -> None:
    path = segments(directory)[-1]
    last = records(path)[-1]
    kept = path.read_bytes()[: last.offset + place(last)]
    path.write_bytes(kept + bytes(5_000_000))

    assert_repaired(directory, [0.0, 1.0, 2.0, 3.0, 4.0])


@pytest.mark.parametrize("number", [0, 1, 2])
def test_unused_room_after_the_last_record_is_no_damage(directory: Path, number: int) -> None:
    path = segments(directory)[number]
    path.write_bytes(path.read_bytes() + bytes(5_000_000))

    assert_repaired(directory, [0.0, 1.0, 2.0, 3.0, 4.0, 5.0])

    assert list(directory.glob("*.broken")) == []


def test_unused_room_is_not_kept_with_an_unfinished_write(directory: Path) -> None:
    path = segments(directory)[-1]
    path.write_bytes(path.read_bytes() + b"torn" + bytes(5_000_000))

    assert_repaired(directory, [0.0, 1.0, 2.0, 3.0, 4.0, 5.0])

    (broken,) = directory.glob("*.broken")
    assert broken.read_bytes().rstrip(b"\0") == b"torn"
    assert broken.stat().st_size < 100_000


def test_tail_that_cannot_be_kept_leaves_nothing_behind_and_is_kept_later(directory: Path) -> None:
    path = segments(directory)[-1]
    path.write_bytes(path.read_bytes() + b"torn")
    disk = FaultyDisk()
    disk.fail["sync"] = [OSError(errno.ENOSPC, "No space left on device")]

    with pytest.raises(DiskFailed, match="No space left"):
        Log.open(directory, disk=disk)
    assert list(directory.glob("*.broken*")) == []

    assert_repaired(directory, [0.0, 1.0, 2.0, 3.0, 4.0, 5.0])
    assert [path.name.endswith(".broken") for path in directory.glob("*.broken*")] == [True]


def test_truncated_earlier_segment_stops_the_server(directory: Path) -> None:
    path = segments(directory)[1]
    last = records(path)[-1]
    path.write_bytes(path.read_bytes()[: last.offset + 30])

    assert_refused(directory, path, last.offset)


def test_earlier_segment_that_lost_whole_records_stops_the_server(directory: Path) -> None:
    path = segments(directory)[1]
    path.write_bytes(path.read_bytes()[: records(path)[-1].offset])

    with pytest.raises(CorruptLog, match="begins with entry 7, but the segment before it ends"):
        Log.open(directory)


def test_missing_segment_stops_the_server(directory: Path) -> None:
    segments(directory)[1].unlink()

    with pytest.raises(CorruptLog, match="Put the missing segment back"):
        Log.open(directory)


@pytest.mark.parametrize(
    "offset",
    [0, 9, 13, 20, 26, 35],
    ids=["magic", "version", "checksum", "salt", "first sequence", "follows"],
)
@pytest.mark.parametrize("number", [0, 1, 2])
def test_damaged_segment_header_stops_the_server(directory: Path, number: int, offset: int) -> None:
    path = segments(directory)[number]
    flip(path, offset)

    assert_refused(directory, path, 0)


def test_log_of_the_first_version_is_refused_in_clear_words(directory: Path) -> None:
    path = segments(directory)[0]
    content = bytearray(path.read_bytes())
    content[8] = 1
    path.write_bytes(content)

    with pytest.raises(CorruptLog, match="the segment has format version 1, not 2"):
        Log.open(directory)


@pytest.mark.parametrize("number", [0, 1, 2])
def test_no_flipped_bit_anywhere_changes_what_is_read(directory: Path, number: int) -> None:
    path = segments(directory)[number]
    content = path.read_bytes()
    whole = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
    chance = random.Random(number)
    for _ in range(60):
        place = chance.randrange(len(content))
        damaged = bytearray(content)
        damaged[place] ^= 1 << chance.randrange(8)
        path.write_bytes(damaged)
        try:
            log = Log.open(directory)
        except CorruptLog:
            continue
        # Only of the last write it cannot be known whether it was acknowledged.
        assert (number, loads(log)) == (2, whole[:-1]), place
        log.close()


def test_log_cut_anywhere_gives_the_records_before_the_cut(directory: Path) -> None:
    path = segments(directory)[2]
    content = path.read_bytes()
    starts = [record.offset for record in records(path)]
    for size in range(0, len(content), 101):
        path.write_bytes(content[:size])
        log = Log.open(directory)
        good = sum(start <= size for start in starts[1:]) if size < len(content) else 3
        assert loads(log) == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0][: 4 + max(good - 1, 0)], size
        log.close()
        for broken in directory.glob("*.broken*"):
            broken.unlink()


@pytest.mark.parametrize("size", [0, 10, 40, 68])
def test_segment_that_was_only_begun_is_removed(directory: Path, size: int) -> None:
    path = segments(directory)[-1]
    content = path.read_bytes()[:size]
    path.write_bytes(content)

    assert_repaired(directory, [0.0, 1.0, 2.0, 3.0])

    broken = path.with_name(f"{path.name}.broken")
    assert (broken.read_bytes() if broken.exists() else b"") == content


@pytest.mark.parametrize("size", [0, 10, 40, 68])
def test_new_log_that_was_only_begun_begins_anew(directory: Path, size: int) -> None:
    first, *later = segments(directory)
    first.write_bytes(first.read_bytes()[:size])
    for path in later:
        path.unlink()

    assert_repaired(directory, [])


def test_only_segment_without_its_checkpoint_stops_the_server(directory: Path) -> None:
    *older, path = segments(directory)
    for old in older:
        old.unlink()
    path.write_bytes(path.read_bytes()[:48])

    assert_refused(directory, path, 40)


def test_tails_of_several_crashes_are_all_kept(directory: Path) -> None:
    path = segments(directory)[-1]
    for tail in (b"first", b"second", b"third"):
        path.write_bytes(path.read_bytes() + tail)
        Log.open(directory).close()

    kept = [path.with_name(path.name + end) for end in (".broken", ".broken.2", ".broken.3")]
    assert [broken.read_bytes() for broken in kept] == [b"first", b"second", b"third"]


def test_repair_is_logged_with_place_and_size(
    directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = segments(directory)[-1]
    size = path.stat().st_size
    path.write_bytes(path.read_bytes() + b"torn")

    Log.open(directory).close()

    (message,) = caplog.records
    facts = {name: vars(message)[name] for name in ("file", "offset", "bytes", "kept_as")}
    assert message.levelname == "WARNING"
    assert facts == {
        "file": str(path),
        "offset": size,
        "bytes": 4,
        "kept_as": f"{path}.broken",
    }


def resealed(path: Path, change: Callable[[bytearray], None]) -> None:
    """Change the payload of a segment's only record and make its checksums right again."""
    content = bytearray(path.read_bytes())
    salt = bytes(content[16:24])
    change(content)
    content[60:64] = crc32c(bytes(content[64:]), crc32c(salt)).to_bytes(4, "little")
    front, back = bytes(content[40:56]), bytes(content[60:64])
    content[56:60] = crc32c(front + back, crc32c(salt)).to_bytes(4, "little")
    path.write_bytes(content)


def test_record_that_is_no_record_though_its_checksums_are_right_is_named(tmp_path: Path) -> None:
    Log.open(tmp_path).close()
    (path,) = segments(tmp_path)

    def change(content: bytearray) -> None:
        content[80] = 0x93

    resealed(path, change)

    assert_refused(tmp_path, path, 40)


def test_segment_that_does_not_begin_with_a_checkpoint_is_named(tmp_path: Path) -> None:
    file = SegmentFile.within(tmp_path, 1)
    writer = SegmentWriter.create(file, Disk())
    writer.append(encode(1, [write()], writer.seed))
    writer.close()

    with pytest.raises(CorruptLog, match="does not begin with a checkpoint"):
        Log.open(tmp_path)


def test_failed_sync_of_the_kept_tail_leaves_the_segment_as_it_was(directory: Path) -> None:
    path = segments(directory)[-1]
    path.write_bytes(path.read_bytes() + b"torn")
    before = path.read_bytes()
    disk = FaultyDisk()
    disk.fail = {"sync": [OSError(errno.EIO, "Input/output error")]}

    with pytest.raises(DiskFailed, match="Input/output error"):
        Log.open(directory, disk=disk)

    assert path.read_bytes() == before
    assert_repaired(directory, [0.0, 1.0, 2.0, 3.0, 4.0, 5.0])
