"""The services that keep stored rows in order, and how they hear of each other.

Rows that come wake the persister; a round of it wakes the compactor and makes room in the log;
what is deleted, and a new retention period, wake the retention.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from engine.app.durable import DurableState
from engine.catalog.change import Change, SetRetention, TrashDatabase, TrashTable
from engine.catalog.state import Catalog
from engine.clock import SystemClock
from engine.config import Config
from engine.errors import EngineError
from engine.service import CrashHandler
from engine.upkeep.backup import Backups, Site
from engine.upkeep.compactor import Compactor
from engine.upkeep.logroom import Forced, LogRoom
from engine.upkeep.persister import Persister
from engine.upkeep.retention import Retention
from engine.workers.registry import Registry

__all__ = ["Upkeep"]

log = logging.getLogger(__name__)

_DELETIONS = (SetRetention, TrashDatabase, TrashTable)


class Upkeep:
    """Persister, compactor, retention, log room and backups of one server."""

    def __init__(
        self,
        config: Config,
        clock: SystemClock,
        state: DurableState,
        registry: Registry,
        on_crash: CrashHandler,
    ) -> None:
        self._state = state
        self._registry = registry
        self.compactor = Compactor(
            state.catalog, state.files, clock, quiet=state.quiet, on_crash=on_crash
        )
        self.retention = Retention(
            state.catalog,
            state.buffer,
            state.files,
            clock,
            config.storage.retention_check_s,
            quiet=state.quiet,
            on_crash=on_crash,
        )
        self.log_room = LogRoom(
            state.log,
            state.catalog,
            quiet=state.quiet,
            max_lag_bytes=config.wal.max_lag_bytes,
            lows=registry.lows,
            commit=state.committer.submit,
            on_forced=self._give_up,
        )
        self.persister = Persister(
            state.catalog,
            state.buffer,
            state.files,
            clock,
            config.storage,
            quiet=state.quiet,
            on_persisted=self._persisted,
            log_bytes=self._log_bytes,
            on_crash=on_crash,
        )
        self.backups = Backups(_site(config, clock, state))

    def start(self, closing: ExitStack) -> None:
        """Start the services; what is due at once is what a crash has left behind."""
        self._state.catalog.subscribe(self._hear)
        self._state.note_rows = self.persister.note
        for service in (self.compactor, self.retention, self.persister):
            service.start()
            closing.callback(service.stop)

    def _persisted(self) -> None:
        self.compactor.wake()
        try:
            self._registry.settle(self._state.log.checkpoint().positions, self._state.committer.end)
        except EngineError as error:
            # The rows are in files all the same; and room in the log is wanted now above all.
            log.warning("positions of triggers are not durable", extra={"error": str(error)})
        self.log_room.try_drop()

    def _log_bytes(self, start: int) -> int:
        return sum(size for first, _, size in self._state.log.segments() if first >= start)

    def _give_up(self, forced: Sequence[Forced]) -> None:
        self._registry.give_up_before(max(each.end for each in forced))

    def _hear(self, _catalog: Catalog, changes: Sequence[Change]) -> None:
        if any(isinstance(change, _DELETIONS) for change in changes):
            self.retention.wake()


def _site(config: Config, clock: SystemClock, state: DurableState) -> Site:
    plugin_dir = Path(config.plugin_dir).absolute()
    return Site(
        node_id=config.node_id,
        root=state.root,
        plugin_dir=plugin_dir,
        environment_dir=Path(config.packages.environment_dir or plugin_dir / ".venv").absolute(),
        catalog=lambda: state.catalog.catalog,
        log=state.log,
        hold=state.quiet.hold,
        pin=state.files.pin,
        clock=clock,
    )
