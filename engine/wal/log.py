"""The write-ahead log: a directory of segments named by their first sequence.

Appending makes one record durable. A segment that has reached its size is left, and a new one
begins with a checkpoint, an entry with a sequence number of its own; so a record's first sequence
may be higher by one than `next_sequence` was. Older segments may be dropped at any time.

When an append fails, what it wrote is cut off again. A full disk is reported and the next append
tries anew; after any other failure the log refuses appends until it is opened again.

Threads: one may call `append` and `close`, one `drop_before`, any the rest. The lock guards the
progress; it is never held while the disk is used.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Self

from engine.clock import Clock, SystemClock
from engine.errors import DiskFailed
from engine.faultpoint import reach
from engine.model.entry import CheckpointEntry, Entry, IdempotenceKey
from engine.wal.disk import Disk
from engine.wal.lock import lock_directory
from engine.wal.record import Streams, encode
from engine.wal.recovery import Recovered, recover
from engine.wal.replay import Head, Read, read_heads, read_records
from engine.wal.rotation import begin_segment
from engine.wal.segment import SegmentFile, SegmentWriter, WriteFailed
from engine.wal.shelf import Shelf

__all__ = ["DEFAULT_SEGMENT_BYTES", "Log"]

DEFAULT_SEGMENT_BYTES = 64 * 1024 * 1024
_RESERVED_BYTES = 16 * 1024 * 1024


class Log:
    """An open log; make it with `Log.open`."""

    def __init__(
        self,
        directory: Path,
        recovered: Recovered,
        *,
        lock_descriptor: int,
        segment_bytes: int,
        disk: Disk,
        clock: Clock,
    ) -> None:
        self._directory = directory
        self._segment_bytes = segment_bytes
        self._reserve_bytes = min(segment_bytes, _RESERVED_BYTES)
        self._disk = disk
        self._clock = clock
        self._lock_descriptor = lock_descriptor
        self._lock = threading.Lock()
        self._shelf = Shelf(recovered.files, recovered.sizes)
        self._progress = recovered.progress
        self._head = CheckpointEntry({}, {}, {}, ())
        self._failure: str | None = None
        self._written_ns = 0
        self._writer = self._first_writer(recovered)

    def __repr__(self) -> str:
        """Describe the log in a sentence."""
        state = "open" if self._failure is None else "failed"
        return (
            f"<log in {self._directory}: {state}, {len(self._shelf.files())} segments, "
            f"next entry {self.next_sequence}>"
        )

    @classmethod
    def open(
        cls,
        directory: Path,
        *,
        segment_bytes: int = DEFAULT_SEGMENT_BYTES,
        checked_from: int | Callable[[], int] = 0,
        disk: Disk | None = None,
        clock: Clock | None = None,
    ) -> Self:
        """Open the log in a directory, which is made if need be; repair an unfinished last write.

        Args:
            directory: holds nothing but the log.
            segment_bytes: a segment of at least this size is followed by a new one.
            checked_from: of segments wholly below this sequence only the header is looked at;
                damage in them is found when they are read. A function is called under the lock.
            disk: the calls that change the disk.
            clock: for `written_ns`.

        Raises:
            LogInUse: another process has it open.
            CorruptLog: acknowledged records are damaged.
            DiskFailed: the disk refused.
        """
        disk = disk or Disk()
        try:
            lock_descriptor = lock_directory(directory, disk)
            try:
                log = cls(
                    directory,
                    recover(directory, disk, checked_from),
                    lock_descriptor=lock_descriptor,
                    segment_bytes=segment_bytes,
                    disk=disk,
                    clock=clock or SystemClock(),
                )
            except BaseException:
                os.close(lock_descriptor)
                raise
        except OSError as error:
            raise DiskFailed(f"cannot open the write-ahead log in {directory}: {error}") from error
        return log

    @property
    def first_sequence(self) -> int:
        """The sequence of the oldest entry that is kept."""
        return self._shelf.files()[0].first_sequence

    @property
    def is_failed(self) -> bool:
        """Whether every further append will be refused."""
        return self._failure is not None

    @property
    def next_sequence(self) -> int:
        """The sequence after the last durable entry."""
        with self._lock:
            return self._progress.end

    @property
    def written_ns(self) -> int:
        """The wall clock of the last record that was appended since the log was opened."""
        return self._written_ns

    @property
    def size_bytes(self) -> int:
        """Bytes of all segments."""
        return sum(size for _, _, size in self.segments())

    @property
    def head(self) -> CheckpointEntry:
        """The checkpoint with which the last rotation since the log was opened began a segment."""
        return self._head

    def append(self, entries: Sequence[Entry], streams: Streams = MappingProxyType({})) -> int:
        """Make entries durable as one record.

        Args:
            entries: at least one; `record.check_entry` is the caller's.
            streams: what `record.encode_ahead` made of them.

        Returns:
            The sequence of the first entry.

        Raises:
            DiskFailed: none of them is in the log.
            InvalidEntry: they cannot be encoded; nothing was written.
        """
        if not entries:
            raise ValueError("a record has at least one entry")
        if self._failure is not None:
            raise DiskFailed(self._failure)
        if self._is_full():
            self._rotate(self.next_sequence)
        first = self.next_sequence
        written_ns = self._clock.now_ns()
        seed = self._writer.seed
        buffers = encode(first, entries, seed, written_ns=written_ns, streams=streams)
        reach("wal.record_encoded")
        try:
            self._writer.append(buffers)
        except WriteFailed as failure:
            raise self._failed(failure) from failure
        self._written_ns = written_ns
        self._shelf.grow(first, self._writer.end)
        with self._lock:
            for sequence, entry in enumerate(entries, first):
                self._progress.apply(sequence, entry)
        return first

    def read(self, start: int) -> Iterator[Read]:
        """Read the records from the one with entry `start` on, one in memory at a time.

        Raises:
            CorruptLog: the log was damaged since it was opened, or by a writer's mistake.
            LogDropped: the start lies before the oldest entry that is kept, or a segment was
                dropped before it was read.
            DiskFailed: the disk refused.
        """
        return read_records(self._shelf, start, self.next_sequence)

    def heads(self, start: int) -> Iterator[Head]:
        """Read the records that are durable now without their rows; else as `read`."""
        return read_heads(self._shelf, start, self.next_sequence)

    def segments(self) -> tuple[tuple[int, int, int], ...]:
        """Return the segments, oldest first: first sequence, end (exclusive), bytes."""
        return self._shelf.spans(self.next_sequence)

    def drop_before(self, sequence: int) -> int:
        """Remove the segments wholly below a sequence, but never the last; return how many.

        Raises: DiskFailed when the disk refused; what is left is a whole log.
        """
        dropped = self._shelf.below(sequence)
        try:
            for file in dropped:
                # A segment that stays is not forgotten: the next drop must not leave it behind.
                self._disk.unlink(file.path)
                self._shelf.remove(file)
                reach("wal.segment_unlinked")
                # Each for itself: a loss of power must not undo the first and keep the second.
                self._disk.sync_directory(self._directory)
        except OSError as error:
            raise DiskFailed(f"cannot remove old segments of the log: {error}") from error
        return len(dropped)

    def checkpoint(self) -> CheckpointEntry:
        """Return what the log says about triggers now."""
        with self._lock:
            return self._progress.checkpoint()

    def open_ranges(self) -> Mapping[int, tuple[tuple[int, int], ...]]:
        """Return [from, to) of the events that wrote synchronously and have not finished, sorted.

        By trigger; a tick stands there twice. After a restart exactly these must be delivered
        again, since the keys of their writes name them.
        """
        with self._lock:
            return self._progress.open_ranges()

    def has_key(self, key: IdempotenceKey) -> bool:
        """Whether this synchronous write of an unfinished run is in the log."""
        with self._lock:
            return self._progress.has_key(key)

    def forget(self, trigger_id: int) -> None:
        """Leave a deleted trigger out of later checkpoints."""
        with self._lock:
            self._progress.forget(trigger_id)

    def skip_to(self, sequence: int) -> None:
        """Begin a segment at a sequence if the log ends before it; what is between is lost.

        Whatever else names sequences must not meet new ones.
        """
        if self.next_sequence < sequence:
            self._rotate(sequence)

    def close(self) -> None:
        """Close the files and let another process open the log."""
        self._failure = "the write-ahead log is closed"
        self._writer.close()
        os.close(self._lock_descriptor)

    def _first_writer(self, recovered: Recovered) -> SegmentWriter:
        if not recovered.files:
            return self._begin_segment(self.next_sequence)
        file, end = recovered.files[-1], recovered.sizes[-1]
        return SegmentWriter.resume(file, recovered.seed, end, self._disk, self._reserve_bytes)

    def _is_full(self) -> bool:
        is_large = self._writer.end >= self._segment_bytes
        return is_large and self.next_sequence > self._writer.file.first_sequence + 1

    def _rotate(self, first: int) -> None:
        left = self._writer
        self._begin_segment(first)
        left.close()

    def _begin_segment(self, first: int) -> SegmentWriter:
        head, follows = self.checkpoint(), self.next_sequence
        file = SegmentFile.within(self._directory, first)
        try:
            room, now_ns = self._reserve_bytes, self._clock.now_ns()
            writer = begin_segment(
                file, head, self._disk, now_ns, reserve_bytes=room, follows=follows
            )
        except WriteFailed as failure:
            raise self._failed(failure) from failure
        self._shelf.add(file, writer.end)
        self._writer = writer
        with self._lock:
            self._progress.apply(file.first_sequence, self._progress.checkpoint())
        self._head = head
        return writer

    def _failed(self, failure: WriteFailed) -> DiskFailed:
        text = f"the write-ahead log could not be written: {failure}"
        if not failure.is_final:
            return DiskFailed(f"{text}; free some space and write again")
        self._failure = f"{text}; check the disk and restart the server"
        return DiskFailed(self._failure)
