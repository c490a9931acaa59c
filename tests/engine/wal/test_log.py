"""The directory: append, rotate, replay, drop, and failures of the disk."""

from __future__ import annotations

import errno
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.clock import ManualClock
from engine.errors import CorruptLog, DiskFailed, LogDropped, LogInUse
from engine.model.entry import CheckpointEntry, Entry, IdempotenceKey, Position
from engine.wal.log import Log
from tests.engine.wal.samples import (
    FaultyDisk,
    filled,
    loads,
    plain,
    replayed,
    run,
    segments,
    write,
)
from tests.engine.wal.strategies import changes

EMPTY = CheckpointEntry({}, {}, {}, ())
FULL = OSError(errno.ENOSPC, "No space left on device")
BROKEN = OSError(errno.EIO, "Input/output error")


def test_new_log_begins_with_a_checkpoint(tmp_path: Path) -> None:
    log = Log.open(tmp_path / "wal")

    assert replayed(log) == [(1, EMPTY)]
    assert (log.first_sequence, log.next_sequence) == (1, 2)
    assert repr(log) == f"<log in {tmp_path / 'wal'}: open, 1 segments, next entry 2>"
    log.close()


def test_entries_are_numbered_and_replayed_after_opening_again(tmp_path: Path) -> None:
    log = Log.open(tmp_path)
    numbers = [log.append([write(1.0), write(2.0)]), log.append([write(3.0)])]
    log.close()
    log = Log.open(tmp_path)

    assert numbers == [2, 4]
    assert [sequence for sequence, _ in replayed(log)] == [1, 2, 3, 4]
    assert loads(log) == [1.0, 2.0, 3.0]
    assert log.append([write(4.0)]) == 5
    log.close()


@settings(max_examples=10)
@given(st.lists(st.lists(changes, min_size=1, max_size=3), max_size=6))
def test_any_entries_come_back_over_any_segments(
    tmp_path_factory: pytest.TempPathFactory, groups: list[list[Entry]]
) -> None:
    directory = tmp_path_factory.mktemp("wal")
    log = Log.open(directory, segment_bytes=600)
    for group in groups:
        log.append(group)
    before = log.checkpoint()
    log.close()
    log = Log.open(directory)

    entries = [plain(entry) for _, entry in replayed(log) if not isinstance(entry, CheckpointEntry)]

    assert entries == [plain(entry) for group in groups for entry in group]
    assert log.checkpoint() == before
    log.close()


def test_full_segment_is_followed_by_one_with_a_checkpoint(tmp_path: Path) -> None:
    log = Log.open(tmp_path, segment_bytes=1)
    numbers = [log.append([run(trigger_id, 10)]) for trigger_id in (1, 2)]
    log.close()
    log = Log.open(tmp_path)

    assert numbers == [2, 4]
    assert [path.name for path in segments(tmp_path)] == [f"{1:020}.wal", f"{3:020}.wal"]
    assert replayed(log)[2] == (3, CheckpointEntry({1: Position(10)}, {}, {}, ()))
    assert log.checkpoint().positions == {1: Position(10), 2: Position(10)}
    log.close()


def test_head_is_the_checkpoint_between_two_records(tmp_path: Path) -> None:
    log = Log.open(tmp_path, segment_bytes=1)
    log.append([run(1, 10)])
    log.append([write()])

    assert log.head == CheckpointEntry({1: Position(10)}, {}, {}, ())
    log.close()


def test_progress_survives_the_loss_of_older_segments(tmp_path: Path) -> None:
    key = IdempotenceKey(3, 5, 9, 0)
    log = Log.open(tmp_path, segment_bytes=1)
    log.append([run(1, 10), write(key=key)])
    log.append([write()])

    dropped = log.drop_before(log.next_sequence)
    log.close()
    log = Log.open(tmp_path)

    assert dropped == 1
    assert log.checkpoint() == CheckpointEntry({1: Position(10)}, {}, {3: ((5, 9),)}, (key,))
    assert log.has_key(key)
    log.close()


def test_only_whole_segments_below_the_sequence_are_dropped(tmp_path: Path) -> None:
    filled(tmp_path, [[1.0], [2.0], [3.0]], segment_bytes=1)  # entries 2, 4 and 6
    log = Log.open(tmp_path)

    assert log.drop_before(4) == 1
    assert log.drop_before(4) == 0
    assert (log.first_sequence, loads(log)) == (3, [2.0, 3.0])
    log.close()


def test_segment_that_cannot_be_removed_is_not_left_behind_by_the_next_drop(tmp_path: Path) -> None:
    filled(tmp_path, [[1.0], [2.0], [3.0]], segment_bytes=1)  # entries 2, 4 and 6
    disk = FaultyDisk()
    log = Log.open(tmp_path, disk=disk)
    disk.fail["unlink"] = [OSError(errno.EIO, "Input/output error")]

    with pytest.raises(DiskFailed, match="cannot remove old segments"):
        log.drop_before(4)
    assert log.first_sequence == 1
    assert log.drop_before(6) == 2
    log.close()
    log = Log.open(tmp_path)
    assert loads(log) == [3.0]
    log.close()


def test_segment_that_is_gone_already_is_dropped(tmp_path: Path) -> None:
    filled(tmp_path, [[1.0], [2.0], [3.0]], segment_bytes=1)
    log = Log.open(tmp_path)
    segments(tmp_path)[0].unlink()

    assert log.drop_before(6) == 2
    assert loads(log) == [3.0]
    log.close()


def test_last_segment_is_never_dropped(tmp_path: Path) -> None:
    filled(tmp_path, [[1.0]])
    log = Log.open(tmp_path)

    assert log.drop_before(1_000) == 0
    assert loads(log) == [1.0]
    log.close()


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


def test_forgotten_trigger_is_not_in_the_next_checkpoint(tmp_path: Path) -> None:
    log = Log.open(tmp_path)
    log.append([run(1, 10)])

    log.forget(1)

    assert log.checkpoint() == EMPTY
    log.close()


def test_empty_record_is_a_mistake(tmp_path: Path) -> None:
    log = Log.open(tmp_path)

    with pytest.raises(ValueError, match="at least one"):
        log.append([])
    log.close()


def test_second_process_is_kept_out(tmp_path: Path) -> None:
    log = Log.open(tmp_path)
    script = (
        "from pathlib import Path; from engine.wal.log import Log; "
        f"Log.open(Path({str(tmp_path)!r}))"
    )

    with pytest.raises(LogInUse, match=f"{tmp_path} is in use by another server"):
        Log.open(tmp_path)
    other = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False)
    log.close()

    assert other.returncode == 1
    assert b"LogInUse" in other.stderr
    Log.open(tmp_path).close()


def test_directory_that_cannot_be_made_is_a_disk_failure(tmp_path: Path) -> None:
    (tmp_path / "wal").write_text("a file")

    with pytest.raises(DiskFailed, match="cannot open the write-ahead log"):
        Log.open(tmp_path / "wal")


def test_closed_log_takes_nothing(tmp_path: Path) -> None:
    log = Log.open(tmp_path)
    log.close()

    with pytest.raises(DiskFailed, match="is closed"):
        log.append([write()])


def test_full_disk_is_reported_and_the_next_append_goes_on(tmp_path: Path) -> None:
    disk = FaultyDisk()
    log = Log.open(tmp_path, disk=disk)
    disk.fail = {"write": [FULL]}

    with pytest.raises(DiskFailed, match="free some space and write again"):
        log.append([write(1.0)])
    number = log.append([write(2.0)])

    assert not log.is_failed
    assert (number, loads(log)) == (2, [2.0])
    log.close()


@pytest.mark.parametrize("call", ["write", "sync"])
def test_broken_disk_closes_the_log_to_writes_until_it_is_opened_again(
    tmp_path: Path, call: str
) -> None:
    disk = FaultyDisk()
    log = Log.open(tmp_path, disk=disk)
    log.append([write(1.0)])
    disk.fail = {call: [BROKEN]}

    for _ in range(2):
        with pytest.raises(DiskFailed, match="check the disk and restart"):
            log.append([write(2.0)])

    assert log.is_failed
    assert loads(log) == [1.0]
    log.close()
    log = Log.open(tmp_path)
    log.append([write(3.0)])
    assert loads(log) == [1.0, 3.0]
    log.close()


@pytest.mark.parametrize(
    "fail",
    [
        {"create": [FULL]},
        {"write": [FULL]},
        {"write": [None, FULL]},
    ],
    ids=["create", "header", "checkpoint"],
)
def test_full_disk_at_a_rotation_is_tried_again(
    tmp_path: Path, fail: dict[str, list[OSError | None]]
) -> None:
    disk = FaultyDisk()
    log = Log.open(tmp_path, segment_bytes=1, disk=disk)
    log.append([write(1.0)])
    disk.fail = fail

    with pytest.raises(DiskFailed, match="free some space"):
        log.append([write(2.0)])
    left = len(segments(tmp_path))
    number = log.append([write(3.0)])
    log.close()
    log = Log.open(tmp_path)

    assert (left, number) == (1, 4)
    assert loads(log) == [1.0, 3.0]
    log.close()


def test_lack_of_descriptors_at_a_rotation_is_passing(tmp_path: Path) -> None:
    log = Log.open(tmp_path, segment_bytes=1)
    log.append([write(1.0)])
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        with pytest.raises(DiskFailed, match="Too many open files"):
            log.append([write(2.0)])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    log.append([write(3.0)])
    assert loads(log) == [1.0, 3.0]
    log.close()


@pytest.mark.parametrize(
    "fail",
    [
        {"create": [BROKEN]},
        {"sync": [BROKEN]},
        {"sync": [None, BROKEN]},
        {"write": [FULL], "unlink": [BROKEN]},
    ],
    ids=["create", "header", "checkpoint", "full and not removed"],
)
def test_broken_disk_at_a_rotation_is_final_and_recovered(
    tmp_path: Path, fail: dict[str, list[OSError | None]]
) -> None:
    disk = FaultyDisk()
    log = Log.open(tmp_path, segment_bytes=1, disk=disk)
    log.append([write(1.0)])
    disk.fail = fail

    with pytest.raises(DiskFailed, match="restart"):
        log.append([write(2.0)])

    assert log.is_failed
    log.close()
    log = Log.open(tmp_path)
    log.append([write(3.0)])
    assert loads(log) == [1.0, 3.0]
    log.close()


def test_segments_that_could_not_be_removed_stay_a_whole_log(tmp_path: Path) -> None:
    filled(tmp_path, [[1.0], [2.0], [3.0]], segment_bytes=1)
    disk = FaultyDisk()
    log = Log.open(tmp_path, disk=disk)
    disk.fail = {"unlink": [None, BROKEN]}

    with pytest.raises(DiskFailed, match="cannot remove old segments"):
        log.drop_before(log.next_sequence)
    log.close()
    log = Log.open(tmp_path)

    assert loads(log) == [2.0, 3.0]
    log.close()


def test_segments_tell_their_range_and_size(tmp_path: Path) -> None:
    filled(tmp_path, [[1.0], [2.0, 3.0]], segment_bytes=1)  # entries 2 and 4-5
    log = Log.open(tmp_path)

    sizes = [path.stat().st_size for path in segments(tmp_path)]

    assert log.segments() == ((1, 3, sizes[0]), (3, 6, sizes[1]))
    assert log.size_bytes == sum(sizes)
    log.append([write(4.0)])
    assert log.segments()[1][:2] == (3, 7)
    assert log.segments()[1][2] > sizes[1]
    log.close()


def test_record_carries_the_wall_clock_of_its_commit(tmp_path: Path) -> None:
    clock = ManualClock(1_000)
    log = Log.open(tmp_path, clock=clock)
    clock.advance(1e-6)
    log.append([write(1.0)])

    assert [read.written_ns for read in log.read(1)] == [1_000, 2_000]
    assert [head.written_ns for head in log.heads(1)] == [1_000, 2_000]
    assert log.written_ns == 2_000
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


def test_events_that_wrote_and_did_not_finish_are_open(tmp_path: Path) -> None:
    log = Log.open(tmp_path)
    for start, end, ordinal in ((9, 12, 0), (5, 9, 0), (5, 9, 1)):
        log.append([write(key=IdempotenceKey(3, start, end, ordinal))])

    assert log.open_ranges() == {3: ((5, 9), (9, 12))}
    log.append([run(3, 9)])
    assert log.open_ranges() == {3: ((9, 12),)}
    log.close()


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


def test_log_that_lost_its_end_goes_on_after_what_was_used(tmp_path: Path) -> None:
    filled(tmp_path, [[1.0], [2.0]])  # entries 2 and 3
    for _ in range(2):
        log = Log.open(tmp_path)
        log.skip_to(50)
        assert log.next_sequence == 51
        log.close()
    log = Log.open(tmp_path, segment_bytes=1)

    assert log.append([write(3.0)]) == 51
    assert log.append([write(4.0)]) == 53
    assert [read.first for read in log.read(1)] == [1, 2, 3, 50, 51, 52, 53]
    assert [read.first for read in log.read(20)] == [50, 51, 52, 53]
    assert log.segments()[0][:2] == (1, 50)
    log.close()
    log = Log.open(tmp_path)
    assert loads(log) == [1.0, 2.0, 3.0, 4.0]
    log.close()
