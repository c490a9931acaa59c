"""The fold of log entries into what a checkpoint holds."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from engine.model.entry import (
    CheckpointEntry,
    Client,
    Entry,
    IdempotenceKey,
    Position,
    Run,
    RunEntry,
    Ticks,
    WriteEntry,
)
from engine.model.entry import Progress as EntryProgress
from engine.wal.progress import Progress
from tests.engine.wal.strategies import changes_without_rows

EMPTY = CheckpointEntry({}, {}, {}, ())


def sync_write(key: IdempotenceKey) -> WriteEntry:
    return WriteEntry(Run(key.trigger_id, "r"), 1, (key.trigger_id,), key, ())


def finished(trigger_id: int, progress: EntryProgress | None) -> RunEntry:
    return RunEntry(Run(trigger_id, "r"), 1, (trigger_id,), progress, ())


def folded(*entries: Entry) -> Progress:
    progress = Progress()
    for sequence, entry in enumerate(entries, 1):
        progress.apply(sequence, entry)
    return progress


def test_writes_of_clients_leave_no_trace_but_the_sequence() -> None:
    progress = folded(WriteEntry(Client(), 1, (), None, ()))

    assert progress.checkpoint() == EMPTY
    assert progress.end == 2


def test_last_position_and_last_tick_of_each_trigger_are_kept() -> None:
    progress = folded(
        finished(1, Position(5)), finished(2, Ticks(70)), finished(1, Position(9, ((12, 14),)))
    )

    assert progress.checkpoint() == CheckpointEntry(
        {1: Position(9, ((12, 14),))}, {2: Ticks(70)}, {}, ()
    )


def test_keys_of_an_open_event_live_until_its_run_entry() -> None:
    first, second = IdempotenceKey(1, 5, 9, 0), IdempotenceKey(1, 5, 9, 1)
    other = IdempotenceKey(2, 5, 9, 0)
    progress = folded(sync_write(first), sync_write(other), sync_write(second))

    assert progress.checkpoint() == CheckpointEntry(
        {}, {}, {1: ((5, 9),), 2: ((5, 9),)}, (first, second, other)
    )
    assert progress.has_key(first)

    progress.apply(4, finished(1, Position(9)))

    assert progress.checkpoint() == CheckpointEntry({1: Position(9)}, {}, {2: ((5, 9),)}, (other,))
    assert not progress.has_key(first)


def test_concurrent_runs_keep_the_keys_of_the_events_that_are_still_open() -> None:
    early, late = IdempotenceKey(1, 5, 9, 0), IdempotenceKey(1, 9, 12, 0)
    progress = folded(sync_write(late), sync_write(early))

    assert progress.open_ranges() == {1: ((5, 9), (9, 12))}

    progress.apply(3, finished(1, Position(5, ((9, 12),))))

    assert progress.checkpoint().keys == (early,)


def test_tick_ends_the_events_up_to_it() -> None:
    past, future = IdempotenceKey(1, 50, 50, 0), IdempotenceKey(1, 60, 60, 0)
    progress = folded(sync_write(past), sync_write(future), finished(1, Ticks(50)))

    assert progress.checkpoint() == CheckpointEntry({}, {1: Ticks(50)}, {1: ((60, 60),)}, (future,))


def test_concurrent_ticks_keep_the_keys_of_those_that_are_still_open() -> None:
    early, late = IdempotenceKey(1, 50, 50, 0), IdempotenceKey(1, 60, 60, 0)
    progress = folded(sync_write(early), sync_write(late), finished(1, Ticks(40, (60,))))

    assert progress.open_ranges() == {1: ((50, 50),)}
    assert progress.checkpoint().ticks == {1: Ticks(40, (60,))}

    progress.apply(4, finished(1, Ticks(60)))

    assert progress.checkpoint() == CheckpointEntry({}, {1: Ticks(60)}, {}, ())


def test_ticks_without_a_run_begin_a_schedule_anew() -> None:
    key = IdempotenceKey(1, 30, 30, 0)
    anew = RunEntry(Run(1, ""), 1, (), Ticks(40), ())

    progress = folded(finished(1, Ticks(20, (90,))), sync_write(key), anew)

    assert progress.checkpoint() == CheckpointEntry({}, {1: Ticks(40)}, {}, ())


def test_run_without_progress_leaves_the_open_events_of_its_trigger() -> None:
    key = IdempotenceKey(1, 5, 9, 0)

    progress = folded(sync_write(key), finished(1, None))

    assert progress.has_key(key)


def test_write_of_an_event_that_is_done_opens_nothing() -> None:
    late, late_tick = IdempotenceKey(1, 5, 9, 0), IdempotenceKey(2, 50, 50, 0)

    progress = folded(
        finished(1, Position(9)), finished(2, Ticks(50)), sync_write(late), sync_write(late_tick)
    )

    assert progress.open_ranges() == {}


def test_forgotten_trigger_leaves_nothing() -> None:
    progress = folded(
        finished(1, Position(4)), finished(1, Ticks(4)), sync_write(IdempotenceKey(1, 5, 9, 0))
    )

    progress.forget(1)

    assert progress.checkpoint() == EMPTY


def test_progress_describes_itself() -> None:
    progress = folded(finished(1, Position(4)), sync_write(IdempotenceKey(1, 5, 9, 0)))

    assert repr(progress) == "<progress before entry 3: 1 positions, 0 ticks, 1 keys>"


@given(st.lists(changes_without_rows, max_size=12), st.data())
def test_fold_from_a_checkpoint_is_the_fold_of_everything(
    entries: list[Entry], data: st.DataObject
) -> None:
    cut = data.draw(st.integers(0, len(entries)))
    resumed = Progress()

    resumed.apply(cut, folded(*entries[:cut]).checkpoint())
    for sequence, entry in enumerate(entries[cut:], cut + 1):
        resumed.apply(sequence, entry)

    assert resumed.checkpoint() == folded(*entries).checkpoint()
    assert resumed.end == len(entries) + 1
