"""Dry runs: a plugin is run as a trigger would run it, and nothing is stored.

Each run has a process of its own, of the same kind and with the same code as a trigger's. It runs
in one of a few threads of ours; the thread starts the process itself, because the parent-death
signal follows it. Queries are real. What the plugin writes is collected, and checked afterwards.
Its cache is one of the test caches.

    submit => a thread: source -> event -> worker -> what came out -> report

`submit` and `stop` may be called from any thread; `_lock` guards `_nudges`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

from engine.catalog.store import CatalogStore
from engine.clock import Clock
from engine.environments.home import Home
from engine.errors import Busy, EngineError, Stopping
from engine.model.dryrun import DryRun, DryRunReport
from engine.model.event import ScheduledEvent
from engine.plugins.source import PluginCode, Source
from engine.workers.callbacks import Queries
from engine.workers.conversation import StopAsked
from engine.workers.drycaches import DryCaches
from engine.workers.dryoccasion import OccasionRefused, work_of
from engine.workers.drystage import Rehearsed, Stage
from engine.workers.drywrites import write_errors, writes_by_database
from engine.workers.inbox import Work
from engine.workers.nudge import Nudge
from engine.workers.premises import Premises

__all__ = ["DryRuns"]

_AT_ONCE = 2


class DryRuns:
    """Runs plugins for test commands.

    Args:
        premises: those of all workers.
        queries: the real ones.
        catalog: what written lines are checked against.
        clock: of schedules, lines without a time, and caches.
        open_plugin: finds a plugin by name; raises PluginFileError.
        find_home: returns where a plugin lives, built for it if need be; None for the shared
            environment. May take as long as an installation.
    """

    def __init__(
        self,
        premises: Premises,
        queries: Queries,
        catalog: CatalogStore,
        clock: Clock,
        open_plugin: Callable[[str], PluginCode],
        find_home: Callable[[str, Source], Home | None] = lambda _name, _source: None,
    ) -> None:
        self._premises = premises
        self._queries = queries
        self._catalog = catalog
        self._clock = clock
        self._open_plugin = open_plugin
        self._find_home = find_home
        self._caches = DryCaches(clock)
        self._free = threading.Semaphore(_AT_ONCE)
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._nudges: set[Nudge] = set()
        self._pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="dry-run")

    def submit(self, run: DryRun) -> Future[DryRunReport]:
        """Start a dry run.

        Returns:
            A future that raises PluginFileError when the plugin cannot be read, or Stopping;
            whatever else goes wrong is an error in the report.

        Raises:
            Busy: two are running.
            Stopping: the server is shutting down.
        """
        if not self._free.acquire(blocking=False):
            raise Busy("two plugins are being tested already; try again shortly")
        try:
            running = self._pool.submit(self._run, run)
        except RuntimeError as error:
            self._free.release()
            raise Stopping from error
        running.add_done_callback(lambda _: self._free.release())
        return running

    def stop(self) -> None:
        """Give up what runs, and refuse the rest."""
        self._stopping.set()
        with self._lock:
            for nudge in self._nudges:
                nudge.signal()
        self._pool.shutdown(wait=True)

    def _run(self, run: DryRun) -> DryRunReport:
        source = self._open_plugin(run.plugin).current()
        now_ns = self._clock.now_ns()
        try:
            work = work_of(run, self._catalog.catalog, now_ns)
        except OccasionRefused as error:
            return DryRunReport(errors=(str(error),))
        try:
            home = self._find_home(run.plugin, source)
        except Stopping:
            raise
        except EngineError as error:
            return DryRunReport(errors=(f"the plugin's packages cannot be had: {error}",))
        cache = self._caches.open(run.cache_name)
        stage = Stage(self._premises, self._queries, self._clock, run, cache, home=home)
        with self._interruptible() as nudge:
            rehearsed = stage.perform(source, work, nudge, self._stopping)
        self._caches.keep(run.cache_name, cache)
        return self._report(run, work, rehearsed)

    @contextmanager
    def _interruptible(self) -> Iterator[Nudge]:
        nudge = Nudge()
        with self._lock:
            self._nudges.add(nudge)
        if self._stopping.is_set():
            nudge.signal()
        try:
            yield nudge
        except StopAsked:
            raise Stopping from None
        finally:
            with self._lock:
                self._nudges.discard(nudge)
            nudge.close()

    def _report(self, run: DryRun, work: Work, rehearsed: Rehearsed) -> DryRunReport:
        writes = writes_by_database(rehearsed.lines, run.database)
        error = rehearsed.error
        failure = () if error is None else (f"error executing plugin: {error}",)
        response = rehearsed.response
        return DryRunReport(
            log_lines=rehearsed.log_lines,
            database_writes=writes,
            errors=failure + write_errors(self._catalog.catalog, writes, self._clock.now_ns()),
            trigger_time_ns=work.time_ns if isinstance(work, ScheduledEvent) else None,
            response=response,
        )
