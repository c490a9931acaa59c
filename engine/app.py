"""The engine: all services of one server, built, started in order, stopped in reverse.

Start: catalog -> log (repairing a torn tail) -> hot buffer from the log -> committer -> feed and
scheduler -> triggers, each after its own position -> HTTP last. Stop is the reverse: HTTP refuses
and finishes what runs, triggers are cancelled and ended, the committer makes durable what was
submitted, the log is closed.

A service that crashes takes the engine down with it: a server that is half there would take
writes it cannot keep.
"""

from __future__ import annotations

import logging
import sys
import threading
import uuid
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path

import zmq

from engine.cache import GlobalCache
from engine.catalog.commands import disable_trigger
from engine.catalog.objects import LocalObjects
from engine.catalog.store import CatalogStore
from engine.clock import SystemClock
from engine.config import Config
from engine.errors import EngineError, UserError
from engine.http.app import HttpServices, Identity, make_app
from engine.http.formats import Format
from engine.http.limits import EdgeLimits
from engine.http.server import HttpServer
from engine.ingest.transaction import PluginWriter
from engine.ingest.writer import Writer
from engine.logs import LogRing
from engine.model.entry import CheckpointEntry, Entry, TableRows
from engine.model.trigger import CronSpec, EverySpec, Trigger
from engine.plugins.source import PluginFolder
from engine.query.rows import to_csv, to_json, to_jsonl, to_parquet, to_pretty
from engine.query.system_tables import SystemTables
from engine.query.tables import QueryService
from engine.service import CrashHandler
from engine.storage.buffer import HotBuffer
from engine.triggers.definitions import TriggerDefinitions
from engine.triggers.requests import RequestRouter
from engine.triggers.scheduler import Scheduler
from engine.triggers.wal_feed import WalFeed
from engine.wal.flusher import Committer
from engine.wal.log import Log
from engine.workers.callbacks import Callbacks
from engine.workers.conversation import RunLimits
from engine.workers.lane import Context
from engine.workers.premises import Premises
from engine.workers.registry import Registry, Site
from engine.workers.runs import EventEncoder
from engine.workers.supervisor import Shared

__all__ = ["Engine"]

log = logging.getLogger(__name__)
_DISTRIBUTION = "bulkhead-engine"
# With the default of 5 ms a thread that computes in Python delays every lane by as much.
_SWITCH_INTERVAL_S = 0.0005
_RENDERERS = {
    Format.JSON: to_json,
    Format.JSONL: to_jsonl,
    Format.CSV: to_csv,
    Format.PRETTY: to_pretty,
    Format.PARQUET: to_parquet,
}


class Engine:
    """One server; `start`, `wait` and `stop` are called by the owner's thread."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._clock = SystemClock()
        self._ended = threading.Event()
        self._failure: str | None = None
        self._closing = ExitStack()
        self._http: HttpServer | None = None

    def __repr__(self) -> str:
        state = "not running" if self._http is None else f"at {self.address}"
        return f"<Engine {self._config.node_id}: {state}>"

    @property
    def address(self) -> tuple[str, int]:
        """Host and port that are listened on, after `start`."""
        if self._http is None:
            raise RuntimeError("the engine has not been started")
        return self._http.address

    def start(self) -> None:
        """Recover what is durable and begin to serve; a failure leaves nothing running.

        Raises:
            CorruptLog, CorruptCatalog: durable state is damaged; the message says where.
            EngineError, OSError: something else that the server needs cannot be had.
        """
        sys.setswitchinterval(_SWITCH_INTERVAL_S)
        with ExitStack() as closing:
            state = _Durable(self._config, self._crashed, closing)
            state.recover()
            triggers = _Triggers(self._config, self._clock, state, self._crashed, closing)
            triggers.start()
            self._http = HttpServer(
                make_app(self._http_services(state, triggers)),
                (self._config.http.bind_host, self._config.http.bind_port),
                self._edge_limits(),
                on_crash=self._crashed,
            )
            self._http.start()
            closing.callback(self._http.stop)
            self._closing = closing.pop_all()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until `request_stop` or a crash; return whether one of them came."""
        return self._ended.wait(timeout_s)

    def request_stop(self) -> None:
        """Let `wait` return; may be called by a signal handler."""
        self._ended.set()

    def stop(self) -> str | None:
        """Stop all services and make durable what was submitted.

        Returns:
            What crashed, or None.
        """
        self._closing.close()
        self._http = None
        return self._failure

    def _crashed(self, service: str, error: BaseException) -> None:
        self._failure = f"{service} crashed: {error!r}"
        self._ended.set()

    def _edge_limits(self) -> EdgeLimits:
        return EdgeLimits(
            max_request_bytes=self._config.http.max_request_bytes,
            grace_s=self._config.http.grace_s,
        )

    def _http_services(self, state: _Durable, triggers: _Triggers) -> HttpServices:
        return HttpServices(
            catalog=state.catalog,
            writer=state.writer,
            queries=triggers.queries,
            definitions=triggers.definitions,
            requests=triggers.requests,
            render=lambda shape, table: _RENDERERS[shape](table),
            identity=Identity(version(_DISTRIBUTION), "unknown", str(uuid.uuid4())),
            limits=self._edge_limits(),
        )


class _Durable:
    """Catalog, log and hot buffer, and the way into them."""

    def __init__(self, config: Config, on_crash: CrashHandler, closing: ExitStack) -> None:
        root = Path(config.data_dir) / config.node_id
        self.log = Log.open(root / "wal", segment_bytes=config.wal.segment_bytes)
        closing.callback(self.log.close)
        self.catalog = CatalogStore.open(LocalObjects(root))
        self.buffer = HotBuffer()
        self.feed = WalFeed(config.wal.flush_interval_s, self._announce, on_crash)
        self.announce_to: Callable[[int, int], None] = lambda _database_id, _end: None
        self.committer = Committer(
            self.log, self._publish, config.wal.max_pending_bytes, on_crash=on_crash
        )
        self.writer = Writer(
            self.catalog,
            self.committer,
            SystemClock(),
            buffered_bytes=lambda: self.buffer.bytes,
            hot_buffer_bytes=config.storage.hot_buffer_bytes,
            max_pending_bytes=config.wal.max_pending_bytes,
        )
        self._closing = closing

    def recover(self) -> None:
        """Fill the hot buffer from the log and begin to take entries."""
        rows = 0
        for first, entries in self.log.replay():
            self.buffer.append(first, entries)
            rows += sum(table.rows.num_rows for entry in entries for table in _tables(entry))
        log.info("log replayed", extra={"entries": self.log.next_sequence - 1, "rows": rows})
        self.committer.start()
        self._closing.callback(self.committer.stop)
        self._closing.callback(self.writer.stop)

    def _publish(self, first: int, entries: Sequence[Entry]) -> None:
        self.buffer.append(first, entries)
        databases = {table.database_id for entry in entries for table in _tables(entry)}
        self.feed.note(databases, first + len(entries))

    def _announce(self, database_id: int, end: int) -> None:
        self.announce_to(database_id, end)


class _Triggers:
    """Queries, workers, and the sources of their events."""

    def __init__(
        self,
        config: Config,
        clock: SystemClock,
        state: _Durable,
        on_crash: CrashHandler,
        closing: ExitStack,
    ) -> None:
        self._state = state
        self._closing = closing
        ring = LogRing()
        self.queries = QueryService(state.catalog, state.buffer, SystemTables(ring))
        closing.callback(self.queries.stop)
        plugins = PluginFolder(Path(config.plugin_dir))
        self.scheduler = Scheduler(clock, self._announce_due, on_crash)
        self.registry = Registry(
            Site(
                catalog=state.catalog,
                clock=clock,
                config=config.workers,
                plugins=plugins,
                premises=_premises(config, closing),
                callbacks=Callbacks(self.queries, PluginWriter(state.writer), GlobalCache(clock)),
                shared=Shared(
                    writer=PluginWriter(state.writer),
                    encoder=EventEncoder(),
                    clock=clock,
                    persist_disabled=self._persist_disabled,
                ),
                ring=ring,
                read_rows=state.buffer.read,
            )
        )
        state.announce_to = self.registry.announce_end
        self.definitions = TriggerDefinitions(
            state.catalog,
            self.registry,
            self.scheduler,
            plugins,
            clock,
            log_end=lambda: state.committer.end,
            forget_progress=state.log.forget,
        )
        self.requests = RequestRouter(state.catalog, self.registry.submit)

    def start(self) -> None:
        """Start every enabled trigger after its own position, then the sources of events."""
        progress = self._state.log.checkpoint()
        self._closing.callback(self.registry.stop_all)
        self.registry.start_all(progress.positions, progress.ticks)
        catalog = self._state.catalog.catalog
        for database in catalog.databases.values():
            self.registry.announce_end(database.id, self._state.committer.end)
        for service in (self._state.feed, self.scheduler):
            service.start()
            self._closing.callback(service.stop)
        for trigger in catalog.triggers.values():
            if not trigger.disabled and isinstance(trigger.spec, CronSpec | EverySpec):
                self.scheduler.add(trigger.id, trigger.spec)

    def _announce_due(self, trigger_id: int, due_ns: int) -> None:
        self.registry.announce_due(trigger_id, due_ns)

    def _persist_disabled(self, trigger: Trigger) -> None:
        self.scheduler.remove(trigger.id)
        try:
            database = self._state.catalog.catalog.database_by_id(trigger.database_id)
            self._state.catalog.update(disable_trigger(database.name, trigger.name))
        except UserError:
            log.info("trigger was deleted meanwhile", extra={"trigger": trigger.name})
        except EngineError:
            log.exception("trigger could not be disabled", extra={"trigger": trigger.name})


def _premises(config: Config, closing: ExitStack) -> Premises:
    context: Context = zmq.Context(io_threads=1)
    closing.callback(context.term)
    plugin_dir = Path(config.plugin_dir).absolute()
    premises = Premises(
        context,
        plugin_dir=plugin_dir,
        environment_dir=plugin_dir / ".venv",
        runtime_dir=Path(config.data_dir).absolute() / "runtime",
        limits=RunLimits(
            start_s=config.workers.start_timeout_s,
            run_s=config.workers.run_timeout_s,
            cancel_grace_s=config.workers.cancel_grace_s,
        ),
        mirror_value_bytes=config.workers.mirror_value_bytes,
    )
    closing.callback(premises.close)
    return premises


def _tables(entry: Entry) -> Sequence[TableRows]:
    return () if isinstance(entry, CheckpointEntry) else entry.tables
