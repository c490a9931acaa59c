"""Reading the log while it is open: where reading begins and ends, and what is found there."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.errors import CorruptLog, LogDropped
from engine.wal.log import Log
from tests.engine.wal.samples import (
    filled,
    replayed,
    run,
    segments,
    write,
)


def test_replay_begins_with_the_record_that_holds_the_start(tmp_path: Path) -> None:
    filled(tmp_path, [[1.0], [2.0, 3.0], [4.0]], segment_bytes=1)  # entries 2, 4-5 and 7
    log = Log.open(tmp_path)

    assert [sequence for sequence, _ in replayed(log, 5)] == [4, 5, 6, 7]
    assert replayed(log, 8) == []
    log.close()


def test_replay_of_a_dropped_segment_is_named(tmp_path: Path) -> None:
    filled(tmp_path, [[1.0], [2.0]], segment_bytes=1)
    log = Log.open(tmp_path)
    records = log.read(1)

    log.drop_before(log.next_sequence)

    with pytest.raises(LogDropped, match="below 3 are no longer kept"):
        next(records)
    log.close()


def test_replay_names_damage_that_came_after_opening(tmp_path: Path) -> None:
    filled(tmp_path, [[1.0]])
    log = Log.open(tmp_path)
    path = segments(tmp_path)[0]
    path.write_bytes(path.read_bytes()[:-8])

    with pytest.raises(CorruptLog, match="entry 2 is missing"):
        replayed(log)
    log.close()


def test_replay_sees_what_was_durable_and_not_what_follows(tmp_path: Path) -> None:
    log = Log.open(tmp_path)
    log.append([write(1.0)])
    records = log.read(1)

    log.append([write(2.0)])

    assert [read.first for read in records] == [1, 2]
    log.close()


def test_heads_tell_how_many_rows_each_entry_has_in_each_table(tmp_path: Path) -> None:
    log = Log.open(tmp_path)
    log.append([write(1.0), run(1, 10), write(2.0, 3.0)])

    (head,) = log.heads(2)

    assert head.first == 2
    assert [tables for _, tables in head.entries] == [((1, 2, 1),), (), ((1, 2, 2),)]
    assert head.entries[1][0] == run(1, 10)
    log.close()


def test_reading_from_before_the_oldest_entry_tells_where_the_log_begins(tmp_path: Path) -> None:
    filled(tmp_path, [[1.0], [2.0]], segment_bytes=1)
    log = Log.open(tmp_path)
    log.drop_before(log.next_sequence)

    for read in (log.read, log.heads):
        with pytest.raises(LogDropped) as caught:
            read(2)
        assert caught.value.first == 3
    log.close()


def test_damage_below_the_checked_part_is_found_by_who_reads_it(tmp_path: Path) -> None:
    filled(tmp_path, [[1.0], [2.0], [3.0]], segment_bytes=1)  # entries 2, 4 and 6
    path = segments(tmp_path)[0]
    path.write_bytes(path.read_bytes()[:-8] + bytes(8))
    with pytest.raises(CorruptLog):
        Log.open(tmp_path, checked_from=2)

    log = Log.open(tmp_path, checked_from=3)

    assert [read.first for read in log.read(3)] == [3, 4, 5, 6]
    with pytest.raises(CorruptLog):
        list(log.read(1))
    log.close()


def test_header_of_a_segment_below_the_checked_part_is_still_checked(tmp_path: Path) -> None:
    filled(tmp_path, [[1.0], [2.0]], segment_bytes=1)
    path = segments(tmp_path)[0]
    path.write_bytes(bytes(40) + path.read_bytes()[40:])

    with pytest.raises(CorruptLog, match="header"):
        Log.open(tmp_path, checked_from=100)


def test_reader_that_resumes_does_not_read_the_segment_from_its_start(tmp_path: Path) -> None:
    values = [float(value) for value in range(50_000)]
    filled(tmp_path, [values[:1]])
    log = Log.open(tmp_path, segment_bytes=1 << 24)
    for _ in range(8):
        log.append([write(*values)])
    first_record = segments(tmp_path)[0]
    content = bytearray(first_record.read_bytes())
    content[200] ^= 1
    first_record.write_bytes(content)  # only who passes over it would see it

    assert [read.first for read in log.read(9)] == [9, 10]
    with pytest.raises(CorruptLog):
        list(log.read(1))
    log.close()


def test_reader_that_resumes_after_a_restart_finds_its_place(tmp_path: Path) -> None:
    values = [float(value) for value in range(50_000)]
    log = Log.open(tmp_path, segment_bytes=1 << 24)
    for _ in range(8):
        log.append([write(*values)])
    log.close()
    log = Log.open(tmp_path, segment_bytes=1 << 24)

    for start in (2, 9, 4, 7, 9, 3):
        assert [read.first for read in log.read(start)] == list(range(start, 10))
        assert [head.first for head in log.heads(start)] == list(range(start, 10))
    log.close()
