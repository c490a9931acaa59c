"""The directory: append, rotate, replay, drop, and failures of the disk."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.clock import ManualClock
from engine.errors import DiskFailed, LogInUse
from engine.model.entry import CheckpointEntry, Entry, IdempotenceKey, Position
from engine.wal.log import Log
from tests.engine.wal.samples import (
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


def test_last_segment_is_never_dropped(tmp_path: Path) -> None:
    filled(tmp_path, [[1.0]])
    log = Log.open(tmp_path)

    assert log.drop_before(1_000) == 0
    assert loads(log) == [1.0]
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


def test_closed_log_takes_nothing(tmp_path: Path) -> None:
    log = Log.open(tmp_path)
    log.close()

    with pytest.raises(DiskFailed, match="is closed"):
        log.append([write()])


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


def test_events_that_wrote_and_did_not_finish_are_open(tmp_path: Path) -> None:
    log = Log.open(tmp_path)
    for start, end, ordinal in ((9, 12, 0), (5, 9, 0), (5, 9, 1)):
        log.append([write(key=IdempotenceKey(3, start, end, ordinal))])

    assert log.open_ranges() == {3: ((5, 9), (9, 12))}
    log.append([run(3, 9)])
    assert log.open_ranges() == {3: ((9, 12),)}
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
