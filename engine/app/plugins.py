"""What plugins need: queries, workers, and the sources of their events."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import zmq

from engine.app.confinement import Confinement
from engine.app.durable import DurableState
from engine.app.packages import PackageServices
from engine.app.tables import environment_rows, system_tables
from engine.cache import GlobalCache
from engine.catalog.commands import disable_trigger
from engine.catalog.state import Catalog
from engine.clock import SystemClock
from engine.config import Config
from engine.errors import UserError
from engine.ingest.backlog import Backlog
from engine.ingest.history import RunHistory
from engine.ingest.transaction import PluginWriter
from engine.logs import LogRing
from engine.model.entry import CheckpointEntry, Run, RunEntry, Ticks
from engine.model.lag import Lag
from engine.model.trigger import CronSpec, EverySpec, Kind, Trigger
from engine.plugins.fetch import Repository
from engine.plugins.source import PluginFolder
from engine.plugins.upload import Uploads
from engine.query.plugin_files import plugin_files
from engine.query.sandbox_table import sandbox_table
from engine.query.snapshot import Limits
from engine.query.tables import QueryService
from engine.query.trigger_tables import trigger_table
from engine.query.worker_table import worker_table
from engine.service import CrashHandler
from engine.triggers.admission import Admission
from engine.triggers.definitions import TriggerDefinitions
from engine.triggers.letters import DeadLetters
from engine.triggers.requests import RequestRouter
from engine.triggers.scheduler import Scheduler
from engine.triggers.sources import PluginSources
from engine.upkeep.recovery import phase
from engine.workers.assembly import Site
from engine.workers.assignment import Shared
from engine.workers.bookmarks import bookmarks, count_backlog
from engine.workers.callbacks import Callbacks
from engine.workers.conversation import RunLimits
from engine.workers.dryrun import DryRuns
from engine.workers.lane import Context
from engine.workers.premises import Premises
from engine.workers.quarters import Quarters
from engine.workers.registry import Registry
from engine.workers.runs import EventEncoder
from engine.workers.usage import UsageWatch

__all__ = ["PluginServices"]

log = logging.getLogger(__name__)
_KINDS = {"wal": Kind.WAL, "schedule": Kind.SCHEDULE, "request": Kind.REQUEST}


class PluginServices:
    """Queries, workers, and the sources of their events."""

    def __init__(
        self,
        config: Config,
        clock: SystemClock,
        state: DurableState,
        on_crash: CrashHandler,
        closing: ExitStack,
        own_address: Callable[[], tuple[str, int]],
    ) -> None:
        self._state = state
        self._clock = clock
        self._closing = closing
        ring = LogRing()
        self.history = RunHistory(state.internal, state.writer, on_crash)
        tables = system_tables(ring, config, clock)
        triggers = trigger_table(self._phases, self._lags, sandbox=config.sandbox)
        tables.register("processing_engine_triggers", triggers)
        self.queries = QueryService(
            state.catalog,
            state.buffer,
            tables,
            config.query.workers,
            config.query.max_pending,
            limits=Limits(max_bytes=config.query.max_result_bytes),
            files=state.files,
        )
        closing.callback(self.queries.stop)
        self._repository = _repository(config)
        self._uploads = Uploads(Path(config.plugin_dir))
        plugins = PluginFolder(Path(config.plugin_dir), self._repository)
        tables.register("plugin_files", plugin_files(plugins), internal_only=True)
        self.sources = PluginSources(lambda: state.catalog.catalog, plugins, self._uploads)
        self.confinement = Confinement(config, clock, ring, on_crash, own_address)
        self.confinement.start(closing)
        tables.register(
            "processing_engine_sandbox",
            sandbox_table(lambda: self.confinement.report, config.sandbox.mode),
        )
        self.packages = PackageServices(
            config,
            state.catalog,
            self.confinement.quarters.sandbox,
            clock,
            on_crash,
            in_use=lambda: {each.environment_dir for each in premises.roster.watched()},
            wake=self._wake,
            plugins=plugins,
            note=lambda trigger, text: ring.add(clock.now_ns(), trigger, "ERROR", text),
        )
        self.provisioning = self.packages.provisioning
        tables.register("processing_engine_environments", self.packages.table)
        premises = _premises(config, self.confinement.quarters, self.packages, closing)
        self.usage = UsageWatch(
            premises.roster,
            premises.disk,
            on_crash,
            is_enforcing=config.sandbox.mode != "off",
        )
        environments = environment_rows(self.packages.environments)
        tables.register("processing_engine_environments", environments)
        tables.register("processing_engine_workers", worker_table(self.usage.rows, self._phases))
        self.dry_runs = DryRuns(
            premises,
            self.queries,
            state.catalog,
            clock,
            plugins.open,
            find_home=self.provisioning.home_for,
        )
        self.scheduler = Scheduler(clock, self._announce_due, on_crash)
        self.registry = Registry(
            Site(
                catalog=state.catalog,
                clock=clock,
                config=config.workers,
                plugins=plugins,
                premises=premises,
                callbacks=Callbacks(self.queries, PluginWriter(state.writer), GlobalCache(clock)),
                shared=Shared(
                    writer=PluginWriter(state.writer),
                    encoder=EventEncoder(),
                    clock=clock,
                    internal=state.internal,
                    history=self.history,
                    persist_disabled=self._persist_disabled,
                ),
                ring=ring,
                backlog=Backlog(
                    state.buffer,
                    state.log,
                    lambda: state.catalog.catalog,
                    lambda: state.committer.end,
                ),
                arrivals=state.arrivals,
                commit=state.committer.submit,  # progress without rows, also when memory is full
                follow=self.packages.follow,
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
            note_end=state.feed.note,
            note_start=self._note_start,
            forget_progress=self._forget,
            allowed_kinds=frozenset(_KINDS[name] for name in config.workers.allowed_kinds),
            admit=Admission(config).check,
        )
        self.letters = DeadLetters(
            state.catalog,
            self.queries,
            state.internal,
            state.writer,
            self.registry.redrive,
        )
        self.requests = RequestRouter(state.catalog, self.registry.submit)

    def start(self) -> None:
        """Start every enabled trigger after its own position, then the sources of events."""
        catalog = self._state.catalog.catalog
        progress = self._found_progress(catalog)
        self.confinement.quarters.sweep(catalog.triggers)
        self._closing.callback(self.dry_runs.stop)
        self.history.start()
        self._closing.callback(self.history.stop)
        self._uploads.clean()
        self.usage.start()
        self._closing.callback(self.usage.stop)
        self.packages.start(self._closing)
        self._closing.callback(self.registry.stop_all)
        self._closing.callback(self.packages.stop)  # before them: they wait for what is built
        self._closing.callback(self.registry.hurry)  # before it, so that nobody waits for these
        self._closing.callback(self._repository.close)
        self.registry.start_all(bookmarks(progress))
        for database in catalog.databases.values():
            self.registry.announce_end(database.id, self._state.committer.end)
        for service in (self._state.feed, self.scheduler):
            service.start()
            self._closing.callback(service.stop)
        for trigger in catalog.triggers.values():
            if not trigger.disabled and isinstance(trigger.spec, CronSpec | EverySpec):
                self.scheduler.add(trigger.id, trigger.spec)

    def _found_progress(self, catalog: Catalog) -> CheckpointEntry:
        """Return where triggers left off, and count what waits for them."""
        state = self._state
        with phase("triggers go on") as facts:
            progress = state.log.checkpoint()
            known = {*progress.positions, *progress.ticks, *progress.open_events}
            for trigger_id in known - catalog.triggers.keys():
                state.log.forget(trigger_id)  # deleted right before the last end
            count_backlog(state.arrivals, state.log, catalog.triggers.values(), progress)
            facts["triggers"] = len(catalog.triggers)
            facts["events_to_repeat"] = sum(map(len, progress.open_events.values()))
        return progress

    def _forget(self, trigger_id: int) -> None:
        self._state.log.forget(trigger_id)
        self.confinement.quarters.forget(trigger_id)

    def _phases(self) -> dict[int, str]:
        phases = {s.trigger.id: s.phase.value for s in self.registry.supervisors()}
        return self.packages.lodging.with_building(phases)

    def _lags(self) -> dict[int, Lag]:
        return self.registry.lags()

    def _note_start(self, trigger: Trigger) -> None:
        if isinstance(trigger.spec, CronSpec | EverySpec):
            now = Ticks(self._clock.now_ns())
            entry = RunEntry(Run(trigger.id, ""), trigger.database_id, (), now, ())
            self._state.writer.commit(entry).result()

    def _wake(self, trigger_id: int | None) -> None:
        self.registry.wake(trigger_id)

    def _announce_due(self, trigger_id: int, due_ns: int) -> None:
        self.registry.announce_due(trigger_id, due_ns)

    def _persist_disabled(self, trigger: Trigger) -> None:
        try:
            database = self._state.catalog.catalog.database_by_id(trigger.database_id)
            self._state.catalog.update(disable_trigger(database.name, trigger.name))
        except UserError:
            log.info("trigger was deleted meanwhile", extra={"trigger": trigger.name})
        self.scheduler.remove(trigger.id)


def _repository(config: Config) -> Repository:
    copies = Path(config.data_dir).absolute() / config.node_id / "fetched"
    return Repository(config.plugin_repo, copies)


def _premises(
    config: Config, quarters: Quarters, packages: PackageServices, closing: ExitStack
) -> Premises:
    context: Context = zmq.Context(io_threads=1)
    closing.callback(context.term)
    plugin_dir = Path(config.plugin_dir).absolute()
    premises = Premises(
        context,
        plugin_dir=plugin_dir,
        homes=packages.lodging,
        runtime_dir=packages.runtime_dir,
        limits=RunLimits(
            start_s=config.workers.start_timeout_s,
            run_s=config.sandbox.run_timeout_s,
            cancel_grace_s=config.workers.cancel_grace_s,
        ),
        mirror_value_bytes=config.workers.mirror_value_bytes,
        quarters=quarters,
    )
    closing.callback(premises.close)
    return premises
