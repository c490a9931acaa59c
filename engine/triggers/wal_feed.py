"""Tells WAL triggers, once a flush interval, how far the log has come.

The log is the queue: only a position goes out, and nothing is sent while nothing is written.
The wait sleeps on a condition; a timer runs only between a write and the next interval's end.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable

from engine.service import CrashHandler, Service

__all__ = ["WalFeed"]

_CATCH_UP_S = 0.001


class WalFeed(Service):
    """`note` is for any thread; `_condition` guards all fields."""

    def __init__(
        self,
        interval_s: float,
        announce: Callable[[int, int], None],
        on_crash: CrashHandler | None = None,
    ) -> None:
        """Set up the feed.

        Args:
            interval_s: the flush interval.
            announce: called with a database id and the position behind its newest entry.
            on_crash: told when the thread dies.
        """
        super().__init__("wal-feed", on_crash)
        self._interval_s = max(interval_s, _CATCH_UP_S)
        self._announce = announce
        self._condition = threading.Condition()
        self._pending: dict[int, int] = {}

    def note(self, database_ids: Iterable[int], end: int) -> None:
        """Note that entries with rows of these databases are durable below a position."""
        with self._condition:
            was_empty = not self._pending
            for database_id in database_ids:
                self._pending[database_id] = max(end, self._pending.get(database_id, 0))
            if was_empty and self._pending:
                self._condition.notify()

    def run(self) -> None:
        """Announce what is pending at each end of an interval."""
        flushed_s = time.monotonic()
        while not self.is_stopping:
            with self._condition:
                self._condition.wait_for(lambda: self._pending or self.is_stopping)
            self._stop_requested.wait(max(0.0, flushed_s + self._interval_s - time.monotonic()))
            flushed_s = time.monotonic()
            with self._condition:
                pending, self._pending = self._pending, {}
            for database_id, end in pending.items():
                self._announce(database_id, end)

    def wake(self) -> None:
        """Interrupt the wait for writes."""
        with self._condition:
            self._condition.notify()
