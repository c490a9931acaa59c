"""Group commit: what is acknowledged is durable and published, in order."""

from __future__ import annotations

import errno
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path

import pyarrow as pa
import pytest

from engine.errors import Busy, DiskFailed, InvalidEntry, Stopping
from engine.model.entry import Client, Entry, IdempotenceKey, TableRows, WriteEntry
from engine.wal.flusher import Committer, CommitterLimits
from engine.wal.log import Log
from tests.engine.wal.samples import GatedDisk, loads, plain, replayed, rows, write

FULL = OSError(errno.ENOSPC, "No space left on device")
BROKEN = OSError(errno.EIO, "Input/output error")


class Bench:
    """A committer over a log whose disk can be stopped, and what it has published."""

    def __init__(self, directory: Path, segment_bytes: int = 1 << 20) -> None:
        self.disk = GatedDisk()
        self.log = Log.open(directory, segment_bytes=segment_bytes, disk=self.disk)
        self.published: list[tuple[int, Entry]] = []
        self.records: list[int] = []
        self.crashes: list[str] = []

    def publish(self, first: int, entries: Sequence[Entry]) -> None:
        self.records.append(len(entries))
        self.published.extend(enumerate(entries, first))

    def committer(self, max_pending_bytes: int = 1 << 20, **limits: int) -> Committer:
        return Committer(
            self.log,
            self.publish,
            max_pending_bytes,
            limits=CommitterLimits(**limits),
            on_crash=lambda name, error: self.crashes.append(f"{name}: {error}"),
        )

    def hold(self, committer: Committer) -> Future[int]:
        """Let one entry reach the sync and stay there."""
        self.disk.shut()
        held = committer.submit(write(0.0))
        assert self.disk.reached.wait(10)
        return held


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.disk.open_gate()
    bench.log.close()


@pytest.fixture
def committer(bench: Bench) -> Iterator[Committer]:
    committer = bench.committer()
    committer.start()
    yield committer
    bench.disk.open_gate()
    assert committer.stop()


def test_future_resolves_to_the_sequence_when_durable_and_published(
    bench: Bench, committer: Committer
) -> None:
    entry = write(1.0)

    sequence = committer.submit(entry).result(10)

    assert sequence == 2
    assert bench.published == [(2, entry)]
    assert committer.end == bench.log.next_sequence == 3
    assert loads(bench.log) == [1.0]


def test_nothing_is_published_or_answered_before_the_sync(
    bench: Bench, committer: Committer
) -> None:
    held = bench.hold(committer)

    assert not held.done()
    assert bench.published == []
    assert committer.end == 2

    bench.disk.open_gate()
    assert held.result(10) == 2


def test_publishing_comes_before_the_answer(bench: Bench, committer: Committer) -> None:
    seen: list[int] = []
    future = bench.hold(committer)
    future.add_done_callback(lambda _: seen.append(len(bench.published)))

    bench.disk.open_gate()
    future.result(10)
    committer.stop()

    assert seen == [1]


def test_entries_that_gather_during_a_sync_become_one_record(
    bench: Bench, committer: Committer
) -> None:
    held = bench.hold(committer)
    futures = [committer.submit(write(float(value))) for value in range(1, 6)]

    bench.disk.open_gate()

    assert [future.result(10) for future in (held, *futures)] == [2, 3, 4, 5, 6, 7]
    assert bench.records == [1, 5]
    assert loads(bench.log) == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]


@pytest.mark.parametrize(
    ("limits", "records"),
    [({"max_record_entries": 2}, [1, 2, 2, 1]), ({"max_record_bytes": 1}, [1, 1, 1, 1, 1, 1])],
)
def test_records_are_bounded(bench: Bench, limits: dict[str, int], records: list[int]) -> None:
    committer = bench.committer(**limits)
    committer.start()
    bench.hold(committer)
    futures = [committer.submit(write(float(value))) for value in range(5)]

    bench.disk.open_gate()
    wait(futures, 10)

    assert bench.records == records
    assert committer.stop()


def test_sequences_are_published_without_a_gap_over_rotations(tmp_path: Path) -> None:
    bench = Bench(tmp_path, segment_bytes=1)
    committer = bench.committer()
    committer.start()

    sequences = [committer.submit(write(float(value))).result(10) for value in range(4)]

    assert committer.stop()
    assert sequences == [2, 4, 6, 8]
    assert [sequence for sequence, _ in bench.published] == [2, 3, 4, 5, 6, 7, 8]
    assert [(number, plain(entry)) for number, entry in bench.published] == [
        (number, plain(entry)) for number, entry in replayed(bench.log)[1:]
    ]
    bench.log.close()


def test_writers_in_many_threads_get_what_they_wrote(bench: Bench, committer: Committer) -> None:
    def submit(writer: int) -> list[tuple[int, float]]:
        values = [float(writer * 100 + number) for number in range(20)]
        return [(committer.submit(write(value)).result(10), value) for value in values]

    with ThreadPoolExecutor(8) as pool:
        answers = [answer for answers in pool.map(submit, range(8)) for answer in answers]

    assert [value for _, value in sorted(answers)] == loads(bench.log)
    assert [sequence for sequence, _ in bench.published] == list(range(2, 162))
    assert committer.pending_bytes == 0


def test_too_many_waiting_bytes_are_refused_and_room_comes_back(bench: Bench) -> None:
    committer = bench.committer(max_pending_bytes=1)
    committer.start()
    held = bench.hold(committer)

    with pytest.raises(Busy, match="1 writes with"):
        committer.submit(write(1.0))

    bench.disk.open_gate()
    held.result(10)
    assert committer.submit(write(2.0)).result(10) == 3
    assert committer.stop()


def test_too_many_waiting_entries_are_refused(bench: Bench) -> None:
    committer = bench.committer(max_pending=3)
    committer.start()
    bench.hold(committer)
    futures = [committer.submit(write(1.0)) for _ in range(2)]

    with pytest.raises(Busy, match="3 writes with"):
        committer.submit(write(1.0))

    bench.disk.open_gate()
    assert [future.result(10) for future in futures] == [3, 4]
    assert committer.stop()


def test_everything_submitted_before_the_stop_is_committed(bench: Bench) -> None:
    committer = bench.committer(max_record_entries=1)
    committer.start()
    bench.hold(committer)
    futures = [committer.submit(write(float(value))) for value in range(1, 4)]
    committer.request_stop()

    with pytest.raises(Stopping):
        committer.submit(write(9.0))
    bench.disk.open_gate()

    assert committer.stop()
    assert [future.result(0) for future in futures] == [3, 4, 5]
    with pytest.raises(Stopping):
        committer.submit(write(9.0))
    assert loads(bench.log) == [0.0, 1.0, 2.0, 3.0]


def test_full_disk_fails_exactly_the_entries_of_its_record(
    bench: Bench, committer: Committer, caplog: pytest.LogCaptureFixture
) -> None:
    held = bench.hold(committer)
    failing = [committer.submit(write(float(value))) for value in (1.0, 2.0)]
    bench.disk.fail = {"write": [FULL]}

    bench.disk.open_gate()

    for future in failing:
        with pytest.raises(DiskFailed, match="free some space"):
            future.result(10)
    assert held.result(10) == 2
    assert committer.submit(write(3.0)).result(10) == 3
    assert loads(bench.log) == [0.0, 3.0]
    assert "a record was not written" in caplog.text


def test_failed_sync_refuses_everything_after_it(bench: Bench, committer: Committer) -> None:
    held = bench.hold(committer)
    waiting = committer.submit(write(1.0))
    bench.disk.fail = {"sync": [BROKEN]}

    bench.disk.open_gate()

    for future in (held, waiting):
        with pytest.raises(DiskFailed, match="check the disk and restart"):
            future.result(10)
    with pytest.raises(DiskFailed, match="check the disk and restart"):
        committer.submit(write(2.0))
    assert bench.published == []


def test_cancelled_entry_is_not_written(bench: Bench, committer: Committer) -> None:
    bench.hold(committer)
    unwanted = committer.submit(write(1.0))
    wanted = committer.submit(write(2.0))

    assert unwanted.cancel()
    bench.disk.open_gate()

    assert wanted.result(10) == 3
    assert loads(bench.log) == [0.0, 2.0]


def test_group_of_cancelled_entries_makes_no_record(bench: Bench, committer: Committer) -> None:
    held = bench.hold(committer)
    unwanted = committer.submit(write(1.0))

    assert unwanted.cancel()
    bench.disk.open_gate()
    held.result(10)

    assert committer.submit(write(2.0)).result(10) == 3
    assert committer.pending_bytes == 0


def test_write_of_an_event_that_was_run_before_is_not_stored_twice(
    bench: Bench, committer: Committer
) -> None:
    key, other = IdempotenceKey(1, 5, 9, 0), IdempotenceKey(1, 5, 9, 1)
    first = committer.submit(write(1.0, key=key)).result(10)

    again = committer.submit(write(1.0, key=key)).result(10)
    second = committer.submit(write(2.0, key=other)).result(10)

    assert (first, again, second) == (2, 3, 3)
    assert loads(bench.log) == [1.0, 2.0]
    assert committer.pending_bytes == 0


def test_write_that_waits_while_its_event_is_run_again_is_stored_once(
    bench: Bench, committer: Committer
) -> None:
    key = IdempotenceKey(1, 5, 9, 0)
    bench.hold(committer)
    futures = [committer.submit(write(1.0, key=key)) for _ in range(2)]
    last = committer.submit(write(2.0))

    bench.disk.open_gate()

    assert [future.result(10) for future in (*futures, last)] == [3, 5, 4]
    assert loads(bench.log) == [0.0, 1.0, 2.0]


def test_write_of_an_event_that_could_not_be_stored_is_tried_again(
    bench: Bench, committer: Committer
) -> None:
    key = IdempotenceKey(1, 5, 9, 0)
    bench.hold(committer)
    futures = [committer.submit(write(1.0, key=key)) for _ in range(2)]
    bench.disk.fail = {"write": [FULL]}

    bench.disk.open_gate()

    for future in futures:
        with pytest.raises(DiskFailed, match="free some space"):
            future.result(10)
    assert committer.submit(write(1.0, key=key)).result(10) == 3
    assert loads(bench.log) == [0.0, 1.0]


def test_entry_that_could_not_be_read_again_is_refused_alone(committer: Committer) -> None:
    bad = rows([1.0]).set_column(1, "load", pa.array([1], pa.int32()))

    with pytest.raises(InvalidEntry, match="'load'"):
        committer.submit(WriteEntry(Client(), 1, (), None, (TableRows(1, 2, bad),)))

    assert committer.submit(write(1.0)).result(10) == 2


def test_crash_of_the_thread_fails_who_waits_and_who_comes(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    def publish(first: int, entries: Sequence[Entry]) -> None:
        raise RuntimeError("the buffer broke")

    bench.publish = publish  # type: ignore[method-assign]
    committer = bench.committer()
    committer.start()
    held = bench.hold(committer)
    waiting = committer.submit(write(1.0))

    bench.disk.open_gate()

    for future in (held, waiting):
        with pytest.raises(DiskFailed, match="the committer has crashed"):
            future.result(10)
    assert committer.stop()
    with pytest.raises(DiskFailed, match="the committer has crashed"):
        committer.submit(write(2.0))
    assert bench.crashes == ["wal-committer: the buffer broke"]
