"""The persister: rows leave memory and go into files that the catalog names.

A round takes the rows of the tables that are due, writes their files, makes one commit that names
them all and says how far each table is persisted, and only then lets the rows go from memory. So a
row is in memory, or in a file that the catalog names, or in both, which a query merges to one; and
in the log until the files are named. A crash in between leaves files that nobody names, which the
next start sweeps.

A table is due when it has grown large, when its oldest row has grown old, or when all tables
together are too large, the largest first. A row in memory keeps all of the log that comes after it,
which the next start reads; so when that is long, the tables with the oldest rows are due, however
small. Nobody looks at a clock in vain: `note` compares one number with the size at which something
may be due, and the thread sleeps until then or until a row is old.

A round whose files cannot be written is given up and its files removed; but when it is Arrow that
fails for the rows of one table, the other tables go on without it. A round whose commit fails
keeps its files, because it is not known whether the catalog names them after a restart, and the
same commit is tried again. Either waits, and is logged once until it has passed.

Threads: `note` from any, cheap; `persist_all` from any; `run` in its own. `_turn` lets one round go
at a time and guards `_pending`; `_condition` guards `_wake_bytes` and `_is_due`.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa

from engine.catalog.change import Change
from engine.catalog.filing import add_files, set_persisted
from engine.catalog.state import Catalog, Table
from engine.catalog.store import CatalogStore
from engine.clock import Clock
from engine.config import StorageConfig
from engine.errors import DiskFailed, EngineError
from engine.faultpoint import reach
from engine.model.file import ParquetFile
from engine.service import CrashHandler, Service
from engine.storage.buffer import HotBuffer, TableLoad
from engine.storage.files import Files
from engine.upkeep.pause import Pause
from engine.upkeep.quiet import Quiet
from engine.upkeep.writing import Kept, give_back_memory, oldest_kept_ns, write_rows

__all__ = ["Persister"]

log = logging.getLogger(__name__)

_STEP_BYTES = 2**20  # of growth, before it is worth to look again
_LONGEST_STEP_BYTES = 16 * 2**20  # of growth; small rows take far more in the log than in memory
_LONGEST_WAIT_S = 86_400.0  # a lock cannot wait for centuries
_LOG_PARTS = 2  # how many times `persist_total_bytes` the log may be that a start has to read
_TAKEN_PARTS = 2  # how many times `persist_bytes` are taken from a table at once
_MOST_TAKEN_BYTES = 512 * 2**20  # however large that is: an Arrow array of texts ends at 2 GiB


@dataclass(frozen=True, slots=True)
class _Persist:
    """Files of one table that wait for their commit, and the end of the entries they hold."""

    table_id: int
    files: tuple[ParquetFile, ...]
    end: int


class Persister(Service):
    """See the module for the plan and the threads.

    Args:
        catalog: names the files.
        buffer: holds the rows.
        files: where they go.
        clock: `monotonic_s` as the buffer's, `now_ns` for retention.
        config: when tables are due.
        quiet: held for the commit.
        on_persisted: called after each round, for those who put files together and drop the log.
        log_bytes: tells the size of the log from a sequence on, in whole segments.
        on_crash: see `Service`.
    """

    def __init__(  # noqa: PLR0913  what it joins, each named once in the composition
        self,
        catalog: CatalogStore,
        buffer: HotBuffer,
        files: Files,
        clock: Clock,
        config: StorageConfig,
        *,
        quiet: Quiet,
        on_persisted: Callable[[], None],
        log_bytes: Callable[[int], int] = lambda _start: 0,
        on_crash: CrashHandler | None = None,
    ) -> None:
        super().__init__("persister", on_crash)
        self._catalog = catalog
        self._buffer = buffer
        self._files = files
        self._clock = clock
        self._config = config
        self._quiet = quiet
        self._on_persisted = on_persisted
        self._log_bytes = log_bytes
        self._turn = threading.Lock()
        self._pending: tuple[_Persist, ...] = ()
        self._condition = threading.Condition()
        self._wake_bytes = 0
        self._is_due = False

    def note(self) -> None:
        """Tell that rows have come."""
        if self._buffer.bytes >= self._wake_bytes:
            self.wake()

    def wake(self) -> None:
        """Let the thread look what is due."""
        with self._condition:
            self._is_due = True
            self._condition.notify_all()

    def persist_all(self) -> None:
        """Persist all rows that are in memory now, in the caller's thread.

        Raises:
            EngineError: the disk or the catalog refused; nothing is lost.
        """
        end = self._buffer.end
        while self._buffer.first_sequence() < end:
            self._round(self._buffer.tables())

    def run(self) -> None:
        """Persist what is due until asked to stop; what is left in memory is in the log."""
        pause = Pause("rows cannot be put into files; they stay in memory and in the log")
        while not self.is_stopping:
            try:
                due = self._due()
                if due:
                    self._round(due)
                pause.passed()
            except EngineError as error:
                self._stop_requested.wait(pause.failed(error))
            else:
                self._sleep(0.0 if due else self._wait_s())

    def _due(self) -> Sequence[TableLoad]:
        loads = sorted(self._buffer.tables(), key=lambda load: load.bytes, reverse=True)
        now_s = self._clock.monotonic_s()
        age_s = max((now_s - load.oldest_s for load in loads), default=0.0)
        if age_s >= self._config.persist_age_s or self._is_log_long():
            # Those that are half as old come along, so that many tables share a commit.
            half_s = min(age_s, self._config.persist_age_s) / 2
            return [load for load in loads if now_s - load.oldest_s >= half_s]
        due = [load for load in loads if load.bytes >= self._config.persist_bytes]
        excess = sum(load.bytes for load in loads) - self._config.persist_total_bytes
        if not due and excess >= 0:
            for load in loads:
                due.append(load)
                excess -= load.bytes
                if excess < 0:
                    break
        return due

    def _is_log_long(self) -> bool:
        needed_bytes = self._log_bytes(self._catalog.catalog.persisted_to)
        return needed_bytes >= _LOG_PARTS * self._config.persist_total_bytes

    def _wait_s(self) -> float | None:
        """Note at which size something may be due, and return when a row will be old."""
        loads = self._buffer.tables()
        total = sum(load.bytes for load in loads)
        largest = max((load.bytes for load in loads), default=0)
        room = min(
            self._config.persist_bytes - largest,
            self._config.persist_total_bytes - total,
            _LONGEST_STEP_BYTES,
        )
        self._wake_bytes = total + max(room, _STEP_BYTES) if loads else 1
        if self._buffer.bytes >= self._wake_bytes:  # came while this was worked out
            return 0.0
        if not loads:
            return None
        oldest_s = min(load.oldest_s for load in loads)
        wait_s = oldest_s + self._config.persist_age_s - self._clock.monotonic_s()
        return min(max(0.0, wait_s), _LONGEST_WAIT_S)

    def _sleep(self, wait_s: float | None) -> None:
        with self._condition:
            if not self._is_due and not self.is_stopping and wait_s != 0.0:
                self._condition.wait(wait_s)
            self._is_due = False

    def _round(self, loads: Sequence[TableLoad]) -> None:
        failed: list[DiskFailed] = []
        with self._turn:
            if not self._pending:
                self._pending = self._written(loads, failed)
            if self._pending:
                self._commit(self._pending)
                self._pending = ()
        give_back_memory()
        self._on_persisted()
        if failed:
            raise failed[0]

    def _written(
        self, loads: Sequence[TableLoad], failed: list[DiskFailed]
    ) -> tuple[_Persist, ...]:
        """Write the rows of some tables; what Arrow could not do goes to `failed`."""
        written: list[_Persist] = []
        try:
            for load in loads:
                catalog = self._catalog.catalog
                table = catalog.table_by_id(load.table_id)
                if table is None:
                    self._buffer.drop_table(load.table_id)
                    continue
                try:
                    written.extend(self._write(catalog, table))
                except pa.ArrowException as error:
                    failed.append(DiskFailed(f"rows of {table.name} fit no file: {error}"))
        except EngineError:
            self._files.discard([file.path for persist in written for file in persist.files])
            raise
        return tuple(written)

    def _write(self, catalog: Catalog, table: Table) -> Iterator[_Persist]:
        """Yield the files of one table, if it has rows."""
        max_bytes = min(_TAKEN_PARTS * self._config.persist_bytes, _MOST_TAKEN_BYTES)
        taken = self._buffer.take(table.id, max_bytes)
        if taken is None:
            return
        oldest_ns = oldest_kept_ns(catalog, table, self._clock.now_ns())
        files = write_rows(self._files, table, taken.rows, Kept(oldest_ns, order=taken.end))
        reach("persist.table_written")
        yield _Persist(table.id, files, taken.end)

    def _commit(self, persists: Sequence[_Persist]) -> None:
        ends = {persist.table_id: persist.end for persist in persists}
        with self._quiet.hold():
            catalog = self._catalog.update(lambda catalog: self._changes(catalog, persists))
            reach("persist.catalog_committed")
        for table_id, end in ends.items():
            self._buffer.drop_persisted(table_id, end)
        reach("persist.buffer_dropped")
        rows = 0
        for persist in persists:
            rows += sum(file.rows for file in persist.files)
            if catalog.table_by_id(persist.table_id) is None:  # deleted for good meanwhile
                self._files.discard([file.path for file in persist.files])
                self._buffer.drop_table(persist.table_id)
        log.info(
            "rows persisted",
            extra={"tables": len(ends), "rows": rows, "persisted_to": catalog.persisted_to},
        )

    def _changes(self, catalog: Catalog, persists: Sequence[_Persist]) -> Sequence[Change]:
        changes: list[Change] = []
        for persist in persists:
            changes += add_files(persist.table_id, persist.files, persist.end)(catalog)
        ends = {persist.table_id: persist.end for persist in persists}
        changes += set_persisted(self._buffer.first_sequence(ends))(catalog)
        return changes
