"""One file: what is appended is read, whatever the disk does."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from engine.wal.disk import Disk
from engine.wal.record import SEGMENT_HEADER_BYTES, encode
from engine.wal.scan import Ending, EndingKind, SegmentReader
from engine.wal.segment import SegmentFile, SegmentWriter, WriteFailed
from tests.engine.wal.samples import FaultyDisk, write

FULL = OSError(errno.ENOSPC, "No space left on device")
BROKEN = OSError(errno.EIO, "Input/output error")


def begun(directory: Path, disk: Disk | None = None, reserve_bytes: int = 1) -> SegmentWriter:
    return SegmentWriter.create(SegmentFile.within(directory, 5), disk or Disk(), reserve_bytes)


def append(writer: SegmentWriter, sequence: int, values: int = 1) -> None:
    entries = [write(float(value)) for value in range(values)]
    writer.append(encode(sequence, entries, writer.seed))


def read(writer: SegmentWriter) -> tuple[list[tuple[int, int]], Ending | None]:
    reader = SegmentReader(writer.file)
    spans = [(record.first_sequence, record.next_sequence) for record in reader.records()]
    return spans, reader.ending


def test_segment_is_named_by_its_first_sequence(tmp_path: Path) -> None:
    writer = begun(tmp_path)
    writer.close()

    assert writer.file.path.name == "00000000000000000005.wal"
    assert repr(writer) == "<segment 00000000000000000005.wal: 40 bytes>"


def test_records_are_read_in_order_to_a_clean_end(tmp_path: Path) -> None:
    writer = begun(tmp_path)
    append(writer, 5, values=3)
    append(writer, 8)
    writer.close()

    assert read(writer) == ([(5, 8), (8, 9)], Ending(EndingKind.CLEAN, writer.end))
    assert writer.end == writer.file.path.stat().st_size


def test_reader_stops_at_its_limit_without_an_ending(tmp_path: Path) -> None:
    writer = begun(tmp_path)
    append(writer, 5)
    append(writer, 6)
    writer.close()
    reader = SegmentReader(writer.file)

    spans = [record.first_sequence for record in reader.records(6)]

    assert spans == [5]
    assert reader.ending is None
    assert repr(reader) == "<reader of 00000000000000000005.wal: at 6, not at its end>"


def test_partial_writes_are_continued(tmp_path: Path) -> None:
    disk = FaultyDisk()
    disk.most_per_write = 7
    writer = begun(tmp_path, disk)
    append(writer, 5, values=2)
    writer.close()

    assert read(writer) == ([(5, 7)], Ending(EndingKind.CLEAN, writer.end))


def test_record_with_more_parts_than_one_call_takes_is_written(tmp_path: Path) -> None:
    writer = begun(tmp_path)
    parts = encode(5, [write()], writer.seed)
    writer.append([bytes(part)[at : at + 1] for part in parts for at in range(len(part))])
    writer.close()

    assert read(writer)[0] == [(5, 6)]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_full_disk_leaves_the_file_as_it_was_and_takes_the_next_record(
    tmp_path: Path, number: int
) -> None:
    disk = FaultyDisk()
    writer = begun(tmp_path, disk)
    append(writer, 5)
    disk.fail = {"write": [OSError(number, "No room")]}

    with pytest.raises(WriteFailed, match="No room") as caught:
        append(writer, 6)

    assert not caught.value.is_final
    assert writer.file.path.stat().st_size == writer.end
    append(writer, 6)
    writer.close()
    assert read(writer)[0] == [(5, 6), (6, 7)]


@pytest.mark.parametrize(
    "fail",
    [
        {"write": [BROKEN]},
        {"sync": [BROKEN]},
        {"sync": [FULL]},
        {"write": [FULL], "truncate": [BROKEN]},
    ],
)
def test_other_failures_are_final(tmp_path: Path, fail: dict[str, list[OSError | None]]) -> None:
    disk = FaultyDisk()
    writer = begun(tmp_path, disk)
    disk.fail = fail

    with pytest.raises(WriteFailed) as caught:
        append(writer, 5)
    writer.close()

    assert caught.value.is_final


@pytest.mark.parametrize("cut", [0, 1, SEGMENT_HEADER_BYTES - 1])
def test_begun_header_is_torn(tmp_path: Path, cut: int) -> None:
    writer = begun(tmp_path)
    writer.close()
    path = writer.file.path
    path.write_bytes(path.read_bytes()[:cut])

    spans, ending = read(writer)

    assert spans == []
    assert ending is not None
    assert (ending.kind, ending.offset) == (EndingKind.TORN, 0)


def test_file_of_zeros_is_torn(tmp_path: Path) -> None:
    writer = begun(tmp_path)
    writer.close()
    writer.file.path.write_bytes(bytes(10_000_000))

    _, ending = read(writer)

    assert ending is not None
    assert (ending.kind, ending.offset) == (EndingKind.TORN, 0)


def test_header_of_another_version_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.wal.record.VERSION", 3)
    writer = begun(tmp_path)
    writer.close()

    _, ending = read(writer)

    assert ending == Ending(EndingKind.CORRUPT, 0, "the segment has format version 3, not 2")


def test_renamed_segment_is_corrupt(tmp_path: Path) -> None:
    writer = begun(tmp_path)
    writer.close()
    other = SegmentFile.within(tmp_path, 6)
    writer.file.path.rename(other.path)
    reader = SegmentReader(other)

    assert list(reader.records()) == []
    assert reader.ending == Ending(
        EndingKind.CORRUPT, 0, "the segment begins with entry 5, not with its name"
    )


def test_missing_record_is_corruption_and_not_a_torn_tail(tmp_path: Path) -> None:
    writer = begun(tmp_path)
    append(writer, 5)
    good = writer.end
    append(writer, 7)
    writer.close()

    spans, ending = read(writer)

    assert spans == [(5, 6)]
    assert ending is not None
    assert (ending.kind, ending.offset) == (EndingKind.CORRUPT, good)


def test_values_that_look_like_a_record_header_do_not_turn_a_torn_tail_into_corruption(
    tmp_path: Path,
) -> None:
    writer = begun(tmp_path)
    append(writer, 5)
    good = writer.end
    forged = bytes(encode(99, [write()], seed=0)[0])
    writer.append([bytes(24), forged])
    writer.close()

    spans, ending = read(writer)

    assert spans == [(5, 6)]
    assert ending is not None
    assert (ending.kind, ending.offset) == (EndingKind.TORN, good)


def test_later_record_is_found_across_a_large_damaged_one(tmp_path: Path) -> None:
    writer = begun(tmp_path)
    writer.append([bytes(9_000_000)])
    append(writer, 6)
    writer.close()

    _, ending = read(writer)

    assert ending is not None
    assert (ending.kind, ending.offset) == (EndingKind.CORRUPT, SEGMENT_HEADER_BYTES)


def test_room_is_reserved_ahead_read_as_a_clean_end_and_given_back(tmp_path: Path) -> None:
    writer = begun(tmp_path, reserve_bytes=100_000)
    append(writer, 5)
    path = writer.file.path

    assert path.stat().st_size == 100_000
    assert read(writer) == ([(5, 6)], Ending(EndingKind.CLEAN, writer.end))
    append(writer, 6, values=1)
    writer.append([bytes(120_000)])
    assert path.stat().st_size == 200_000
    writer.close()
    assert path.stat().st_size == writer.end


def test_segment_is_continued_within_what_was_reserved(tmp_path: Path) -> None:
    crashed = begun(tmp_path, reserve_bytes=100_000)
    append(crashed, 5)
    writer = SegmentWriter.resume(crashed.file, crashed.seed, crashed.end, Disk(), 100_000)
    append(writer, 6)

    assert read(writer) == ([(5, 6), (6, 7)], Ending(EndingKind.CLEAN, writer.end))
    writer.close()


def test_disk_without_room_to_reserve_takes_records_all_the_same(tmp_path: Path) -> None:
    disk = FaultyDisk()
    disk.fail = {"reserve": [FULL, BROKEN]}
    writer = begun(tmp_path, disk, reserve_bytes=100_000)
    append(writer, 5)

    assert writer.file.path.stat().st_size == writer.end
    writer.close()
    assert read(writer)[0] == [(5, 6)]


def test_full_disk_in_reserved_room_leaves_nothing_of_the_record(tmp_path: Path) -> None:
    disk = FaultyDisk()
    writer = begun(tmp_path, disk, reserve_bytes=100_000)
    append(writer, 5)
    disk.fail = {"write": [FULL]}

    with pytest.raises(WriteFailed):
        append(writer, 6)

    assert writer.file.path.stat().st_size == writer.end
    append(writer, 6)
    assert read(writer)[0] == [(5, 6), (6, 7)]
    writer.close()


def test_unfinished_record_in_reserved_room_is_torn(tmp_path: Path) -> None:
    writer = begun(tmp_path, reserve_bytes=100_000)
    append(writer, 5)
    good = writer.end
    half = bytes(encode(6, [write()], writer.seed)[0])
    writer.append([half])

    _, ending = read(writer)

    assert ending is not None
    assert (ending.kind, ending.offset) == (EndingKind.TORN, good)
    writer.close()
