"""The committer: many writers, one log, one sync for all that wait.

While one record is being synced the next entries gather; when it is durable they become the next
record, up to a size. No time is added to wait for more. Large rows are encoded by the thread that
hands them in, so that this is done by the time of their turn. For each record: append, publish,
then resolve the futures of its entries, so that whoever has an answer can also read what was
written.

A write whose idempotence key is in the log already, or earlier in its own record, is not written
again: its future resolves as if it had been. Only here is that known for sure, since an entry may
still wait when the worker that sent it has died and its event is run again.

Threads: `submit` may be called by any; `publish` is called by the committer's own, in order and
without gaps. The condition's lock guards the queue, its two counts and the refusal; it is never
held while the disk or `publish` is used. Overflow rule: `submit` refuses.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass

from engine.errors import Busy, DiskFailed, EngineError, Stopping
from engine.faultpoint import reach
from engine.model.entry import CheckpointEntry, Entry, IdempotenceKey, WriteEntry
from engine.service import CrashHandler, Service
from engine.wal.log import Log
from engine.wal.record import Streams, check_entry, encode_ahead

__all__ = ["Committer", "CommitterLimits", "Publish"]

log = logging.getLogger(__name__)

Publish = Callable[[int, Sequence[Entry]], None]

_ENTRY_BYTES = 512  # what an entry without rows takes, roughly


@dataclass(frozen=True, slots=True)
class CommitterLimits:
    """How much may wait, and how much goes into one record.

    Args:
        max_pending: entries submitted and not yet resolved; bounds the memory of tiny writes.
        max_record_bytes: rows of one record; an entry that is larger has a record to itself.
        max_record_entries: entries of one record; more would only delay the first of them.
    """

    max_pending: int = 16_384
    max_record_bytes: int = 16 * 1024 * 1024
    max_record_entries: int = 2_048


@dataclass(frozen=True, slots=True)
class _Waiting:
    entry: Entry
    size: int
    streams: Streams
    future: Future[int]


class Committer(Service):
    """The thread that appends to the log."""

    def __init__(
        self,
        log: Log,
        publish: Publish,
        max_pending_bytes: int,
        *,
        limits: CommitterLimits | None = None,
        on_crash: CrashHandler | None = None,
    ) -> None:
        """Commit to an open log, which the caller closes after `stop`.

        Args:
            log: nobody else may append to it.
            publish: takes the first sequence and the entries of each durable record.
            max_pending_bytes: rows submitted and not yet resolved; one entry is always taken.
            limits: the other bounds.
            on_crash: told when the thread ends by an error.
        """
        super().__init__("wal-committer", on_crash)
        self._log = log
        self._publish = publish
        self._max_pending_bytes = max_pending_bytes
        self._limits = limits or CommitterLimits()
        self._changed = threading.Condition()
        self._queue: deque[_Waiting] = deque()
        self._pending = 0
        self._pending_bytes = 0
        self._refusal: str | None = None
        self._end = log.next_sequence

    @property
    def end(self) -> int:
        """The next sequence to be published; all below are durable and published."""
        return self._end

    @property
    def pending_bytes(self) -> int:
        """Rows submitted and not yet resolved."""
        return self._pending_bytes

    def submit(self, entry: Entry) -> Future[int]:
        """Hand in an entry to be made durable.

        A future that is cancelled before its record is begun takes its entry with it.

        Returns:
            Resolves to the entry's sequence when it is durable and published, or to `end` when
            its key shows that an earlier run has written it; fails with DiskFailed when it could
            not be written.

        Raises:
            Busy: too much is waiting.
            Stopping: the server is shutting down.
            DiskFailed: an earlier failure has closed the log to writes.
            InvalidEntry: its rows are not laid out as they must be.
        """
        check_entry(entry)
        waiting = _Waiting(entry, _size(entry), encode_ahead(entry), Future())
        with self._changed:
            self._refuse_or_count(waiting.size)
            self._queue.append(waiting)
            self._changed.notify()
        return waiting.future

    def run(self) -> None:
        """Commit until asked to stop and nothing is left."""
        group: list[_Waiting] = []
        try:
            while group := self._next_group():
                self._commit(group)
        except BaseException:
            self._abandon(group, "the committer has crashed; restart the server")
            raise

    def wake(self) -> None:
        """Let the thread see the request to stop."""
        with self._changed:
            self._changed.notify_all()

    def _refuse_or_count(self, size: int) -> None:
        if self._refusal is not None:
            raise DiskFailed(self._refusal)
        if self.is_stopping:
            raise Stopping
        is_full = self._pending_bytes + size > self._max_pending_bytes
        if self._pending and (is_full or self._pending >= self._limits.max_pending):
            raise Busy(
                f"{self._pending} writes with {self._pending_bytes} bytes wait for the disk; "
                "try again later"
            )
        self._pending += 1
        self._pending_bytes += size

    def _next_group(self) -> list[_Waiting]:
        """Wait for entries; an empty list means the end."""
        with self._changed:
            while not self._queue and not self.is_stopping:
                self._changed.wait()
            group: list[_Waiting] = []
            size = 0
            while self._queue and len(group) < self._limits.max_record_entries:
                size += self._queue[0].size
                if group and size > self._limits.max_record_bytes:
                    break
                group.append(self._queue.popleft())
            return group

    def _commit(self, group: Sequence[_Waiting]) -> None:
        wanted = [waiting for waiting in group if waiting.future.set_running_or_notify_cancel()]
        if not wanted:
            self._settle(group, None)
            return
        fresh = _unique(wanted, self._log.has_key)
        try:
            first = self._append(fresh)
        except EngineError as error:
            log.exception("a record was not written", extra={"entries": len(wanted)})
            self._settle(group, str(error) if self._log.is_failed else None)
            for waiting in wanted:
                waiting.future.set_exception(error)
            return
        self._settle(group, None)
        for sequence, waiting in enumerate(fresh, first):
            waiting.future.set_result(sequence)
        for waiting in wanted:
            if not waiting.future.done():
                waiting.future.set_result(self._end)

    def _append(self, fresh: Sequence[_Waiting]) -> int:
        """Make entries durable and published; return the sequence of the first."""
        if not fresh:
            return self._end
        entries = [waiting.entry for waiting in fresh]
        streams = {rows: stream for w in fresh for rows, stream in w.streams.items()}
        first = self._log.append(entries, streams)
        if first > self._end:
            # A new segment was begun: its checkpoint has the sequence between.
            self._publish(self._end, (self._log.head,))
        self._publish(first, entries)
        reach("wal.record_published")
        self._end = first + len(entries)
        return first

    def _settle(self, group: Sequence[_Waiting], refusal: str | None) -> None:
        with self._changed:
            self._refusal = refusal or self._refusal
            self._pending -= len(group)
            self._pending_bytes -= sum(waiting.size for waiting in group)

    def _abandon(self, group: Sequence[_Waiting], refusal: str) -> None:
        """Refuse what is still there, so that nobody waits for a thread that has ended."""
        with self._changed:
            self._refusal = refusal
            left = [*group, *self._queue]
            self._queue.clear()
        for waiting in left:
            # Those that were answered, or cancelled, stay as they are.
            with suppress(InvalidStateError):
                waiting.future.set_exception(DiskFailed(refusal))


def _unique(
    group: Sequence[_Waiting], is_written: Callable[[IdempotenceKey], bool]
) -> list[_Waiting]:
    """Leave out the writes that are in the log or come twice."""
    unique: list[_Waiting] = []
    seen: set[IdempotenceKey] = set()
    for waiting in group:
        key = waiting.entry.key if isinstance(waiting.entry, WriteEntry) else None
        if key is not None:
            if key in seen or is_written(key):
                continue
            seen.add(key)
        unique.append(waiting)
    return unique


def _size(entry: Entry) -> int:
    if isinstance(entry, CheckpointEntry):
        return _ENTRY_BYTES
    rows: int = sum(table.rows.nbytes for table in entry.tables)
    return _ENTRY_BYTES + rows
