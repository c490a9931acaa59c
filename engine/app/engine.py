"""The engine: all services of one server, built, started in order, stopped in reverse.

Start: catalog, files, log and the rows that are in no file (`engine.upkeep.recovery`) -> committer
-> triggers, each after its own position -> upkeep -> HTTP last. Stop is the reverse: HTTP refuses
and finishes what runs, upkeep leaves what it has not committed, triggers are cancelled and ended,
the committer makes durable what was submitted, the log is closed.

A service that crashes takes the engine down with it: a server that is half there would take
writes it cannot keep.
"""

from __future__ import annotations

import gc
import sys
import threading
import uuid
from contextlib import ExitStack
from importlib.metadata import version

from engine.app.durable import DurableState
from engine.app.plugins import PluginServices
from engine.app.upkeep import Upkeep
from engine.clock import SystemClock
from engine.config import Config
from engine.http.app import HttpServices, Identity, make_app
from engine.http.formats import Format
from engine.http.limits import EdgeLimits
from engine.http.server import HttpServer
from engine.query.rows import to_csv, to_json, to_jsonl, to_parquet, to_pretty
from engine.sandbox.report import Report
from engine.workers.descriptors import raise_limit

__all__ = ["Engine"]

_DISTRIBUTION = "bulkhead-engine"
# With the default of 5 ms a thread that computes in Python delays every lane by as much.
_SWITCH_INTERVAL_S = 0.0005
# Entries of the log come and go by the ten thousand, and none of them is part of a cycle.
_GC_THRESHOLDS = (50_000, 20, 50)
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
        self.sandbox: Report | None = None

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
        gc.set_threshold(*_GC_THRESHOLDS)
        raise_limit()
        with ExitStack() as closing:
            state = DurableState(self._config, self._crashed, closing)
            state.start()
            triggers = PluginServices(
                self._config, self._clock, state, self._crashed, closing, lambda: self.address
            )
            triggers.start()
            self.sandbox = triggers.confinement.report
            upkeep = Upkeep(self._config, self._clock, state, triggers.registry, self._crashed)
            upkeep.start(closing)
            self._http = HttpServer(
                make_app(self._http_services(state, triggers, upkeep)),
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

    def _http_services(
        self, state: DurableState, triggers: PluginServices, upkeep: Upkeep
    ) -> HttpServices:
        return HttpServices(
            catalog=state.catalog,
            writer=state.writer,
            queries=triggers.queries,
            definitions=triggers.definitions,
            requests=triggers.requests,
            sources=triggers.sources,
            provisions=triggers.provisioning,
            dry_runs=triggers.dry_runs,
            letters=triggers.letters,
            render=lambda shape, table: _RENDERERS[shape](table),
            identity=Identity(version(_DISTRIBUTION), "unknown", str(uuid.uuid4())),
            limits=self._edge_limits(),
            backups=upkeep.backups,
            hard_delete_default_s=self._config.storage.hard_delete_default_s,
        )
