"""The query service: from a database's name and SQL to an Arrow table.

It rewrites the SQL, takes a snapshot of what the statement may read, and has it executed in a pool
of a few threads, because more queries at once than cores gain nothing. A table that the SQL does
not name costs a search for its name and nothing else.

Threads: `submit`, `run` and `stop` from any; `_lock` guards the count of pending queries. The
snapshot is taken in the pool's thread, so a query sees all that was there when it began to run.
"""

from __future__ import annotations

import logging
import threading
from concurrent.futures import CancelledError, Future, wait
from functools import partial

import pyarrow as pa

from engine.catalog.store import CatalogStore
from engine.clock import Clock, SystemClock
from engine.errors import Busy, Stopping
from engine.query.executor import execute
from engine.query.file_reader import FileReader
from engine.query.mentions import Mentions
from engine.query.pool import DaemonPool
from engine.query.query_log import QueryLog, QueryRecord
from engine.query.rewrite import Params, rewrite
from engine.query.shelf import Shelf
from engine.query.snapshot import Limits
from engine.query.snapshot_source import SnapshotSource
from engine.query.system_tables import SystemTables
from engine.storage.buffer import HotBuffer
from engine.storage.files import Files

__all__ = ["QueryService"]

log = logging.getLogger(__name__)


class QueryService:
    """Queries of all databases; see the module for threads."""

    def __init__(  # noqa: PLR0913 (four sources and four settings, each with a default)
        self,
        catalog: CatalogStore,
        buffer: HotBuffer,
        system: SystemTables,
        workers: int = 2,
        max_pending: int = 128,
        *,
        limits: Limits | None = None,
        clock: Clock | None = None,
        files: Files | None = None,
    ) -> None:
        clock = clock or SystemClock()
        self._catalog = catalog
        self._source = SnapshotSource(catalog, buffer, system, clock, files)
        self._max_pending = max_pending
        self._limits = limits or Limits()
        self._shelf = Shelf()
        self._log = QueryLog(clock)
        system.register("queries", self._log.table)
        self._lock = threading.Lock()
        self._pending: set[Future[pa.Table]] = set()
        self._is_stopped = False
        self._pool: DaemonPool[pa.Table] = DaemonPool(workers, "query")

    def __repr__(self) -> str:
        """Describe the service in a sentence."""
        with self._lock:
            state = "stopped" if self._is_stopped else f"{len(self._pending)} queries pending"
        return f"<QueryService: {state}>"

    def submit(self, database: str, sql: str, params: Params | None = None) -> Future[pa.Table]:
        """Run one statement in the pool.

        Args:
            database: name.
            sql: as users write it.
            params: values of its placeholders by name.

        Returns:
            A future of the result; it fails as `engine.query.executor.execute` does, and with
            `DatabaseNotFound` when the database has gone in between.

        Raises:
            DatabaseNotFound: at once.
            Busy: too many queries wait.
            Stopping: after `stop`.
        """
        database_id = self._catalog.catalog.database(database).id
        with self._lock:
            if self._is_stopped:
                raise Stopping
            if len(self._pending) >= self._max_pending:
                raise Busy(f"{self._max_pending} queries are waiting already; try again later")
            record = self._log.received(database_id, sql)
            work = partial(self._execute, record, database, sql, params or {})
            future = self._pool.submit(work)
            self._pending.add(future)
        future.add_done_callback(partial(self._done, record))
        return future

    def run(self, database: str, sql: str, params: Params | None = None) -> pa.Table:
        """Do as `submit` and wait for the result; not to be called from the pool."""
        return self.submit(database, sql, params).result()

    def read(self, database: str, sql: str, params: Params | None = None) -> pa.Table:
        """Run a statement of the server itself, in the caller's thread, and list it nowhere.

        Raises:
            EngineError: as `submit` and its future do, but never that too many queries wait.
        """
        reader = FileReader(self._shelf, self._limits.max_merged_bytes)
        return self._answer(database, sql, params or {}, reader)

    def stop(self, timeout_s: float = 1.0) -> bool:
        """Refuse new queries, drop those that wait, and wait for those that run.

        Nobody is left who could take a result, so the wait is short; what runs on then ends with
        the process.

        Returns:
            Whether all have ended within the limit.
        """
        with self._lock:
            self._is_stopped = True
            pending = set(self._pending)
        self._pool.stop()
        running = wait(pending, timeout_s).not_done
        if running:
            log.warning("queries are still running at the end", extra={"queries": len(running)})
        return not running

    def _execute(self, record: QueryRecord, database: str, sql: str, params: Params) -> pa.Table:
        self._log.taken(record)
        reader = FileReader(self._shelf, self._limits.max_merged_bytes)
        try:
            return self._answer(database, sql, params, reader)
        finally:
            self._log.read(record, reader.files)

    def _answer(self, database: str, sql: str, params: Params, reader: FileReader) -> pa.Table:
        rewritten, bound = rewrite(sql, params)
        with self._source.take(database, Mentions(rewritten)) as snapshot:
            return execute(snapshot, rewritten, bound, self._limits, reader)

    def _done(self, record: QueryRecord, future: Future[pa.Table]) -> None:
        with self._lock:
            self._pending.discard(future)
        try:
            failed = future.exception() is not None
        except CancelledError:
            self._log.done(record, "cancel")
            return
        self._log.done(record, "fail" if failed else "success")
