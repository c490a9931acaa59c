"""Retention: files whose rows are all too old go, and so does what was deleted, when it is due.

Rows past their retention in files that also have younger ones stay until a compaction; queries do
not show them. A database or table that is removed for good takes its files and its rows in memory
with it.

Threads: `wake` and `check` from any, `_turn` makes checks take turns; `run` in its own.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence

from engine.catalog.change import Change, ReplaceFiles
from engine.catalog.deletion import purge_due
from engine.catalog.state import Catalog
from engine.catalog.store import CatalogStore
from engine.clock import Clock
from engine.errors import EngineError
from engine.faultpoint import reach
from engine.service import CrashHandler, Service
from engine.storage.buffer import HotBuffer
from engine.storage.files import Files
from engine.upkeep.pause import Pause
from engine.upkeep.quiet import Quiet
from engine.upkeep.tables import tables_of
from engine.upkeep.writing import oldest_kept_ns

__all__ = ["Retention"]

log = logging.getLogger(__name__)

_LONGEST_WAIT_S = 86_400.0  # a lock cannot wait for centuries


class Retention(Service):
    """See the module for the plan and the threads.

    Args:
        catalog: names files, periods and what was deleted.
        buffer: loses the rows of what is removed for good.
        files: lose what the catalog does not name any more.
        clock: wall clock.
        interval_s: between two checks; what was deleted is removed when it is due.
        quiet: held for the commit.
        on_purged: called with the ids of the tables that were removed for good.
        on_crash: see `Service`.
    """

    def __init__(  # noqa: PLR0913  what it joins, each named once in the composition
        self,
        catalog: CatalogStore,
        buffer: HotBuffer,
        files: Files,
        clock: Clock,
        interval_s: float,
        *,
        quiet: Quiet,
        on_purged: Callable[[Sequence[int]], None] = lambda _ids: None,
        on_crash: CrashHandler | None = None,
    ) -> None:
        super().__init__("retention", on_crash)
        self._catalog = catalog
        self._buffer = buffer
        self._files = files
        self._clock = clock
        self._interval_s = interval_s
        self._quiet = quiet
        self._on_purged = on_purged
        self._turn = threading.Lock()
        self._wanted = threading.Event()

    def wake(self) -> None:
        """Check now, and work out anew when something is due; to be called after a deletion."""
        self._wanted.set()

    def run(self) -> None:
        """Check at each interval, and when a deletion is due, until asked to stop."""
        pause = Pause("old files cannot be removed; they take space")
        while not self.is_stopping:
            try:
                self.check()
                pause.passed()
            except EngineError as error:
                self._stop_requested.wait(pause.failed(error))
                continue
            self._wanted.wait(self._wait_s())
            self._wanted.clear()  # before the work, so that no later call is lost

    def check(self) -> None:
        """Remove what is too old or due.

        Raises:
            EngineError: the catalog refused; nothing has changed.
        """
        now_ns = self._clock.now_ns()
        with self._turn, self._quiet.hold():
            before = self._catalog.catalog
            after = self._catalog.update(
                lambda catalog: [*_expired(catalog, now_ns), *purge_due(now_ns)(catalog)]
            )
            reach("retention.catalog_committed")
        if after is before:
            return
        gone = [table.id for table in tables_of(before) if after.table_by_id(table.id) is None]
        kept = {file.path for table in tables_of(after) for file in table.files}
        leaving = [f.path for t in tables_of(before) for f in t.files if f.path not in kept]
        for table_id in gone:
            self._buffer.drop_table(table_id)
        self._files.discard(leaving)
        reach("retention.files_discarded")
        if gone:
            self._on_purged(gone)
        if gone or leaving:
            log.info("old rows removed", extra={"tables": len(gone), "files": len(leaving)})

    def _wait_s(self) -> float:
        trash = self._catalog.catalog.trash.values()
        due_ns = min(
            (t.hard_delete_ns for t in trash if t.hard_delete_ns is not None), default=None
        )
        wait_s = min(self._interval_s, _LONGEST_WAIT_S)
        if due_ns is None:
            return wait_s
        until_s = (due_ns - self._clock.now_ns()) / 1e9
        return min(wait_s, max(until_s, 0.001))


def _expired(catalog: Catalog, now_ns: int) -> Sequence[Change]:
    changes: list[Change] = []
    for database in catalog.databases.values():
        if database.retention_ns is None:
            continue
        for table in database.tables.values():
            oldest_ns = oldest_kept_ns(catalog, table, now_ns)
            paths = [f.path for f in table.files if oldest_ns is not None and f.max_ns < oldest_ns]
            if paths:
                changes.append(ReplaceFiles(table.id, tuple(paths), ()))
    return changes
