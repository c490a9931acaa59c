"""Create, confine, enable, disable and delete triggers: the catalog first, then what runs.

One lock makes these operations follow one another, so that what runs is what the catalog says.
Every method blocks on files, and on a run that has to end; call from a thread that may wait.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable

from engine.catalog.commands import (
    HardDelete,
    NewTrigger,
    create_trigger,
    delete_database,
    delete_trigger,
    disable_trigger,
    enable_trigger,
)
from engine.catalog.confining import confine_trigger
from engine.catalog.pinning import Pinned
from engine.catalog.store import CatalogStore
from engine.clock import Clock
from engine.environments.making import Prepared
from engine.errors import InvalidParameter
from engine.model.grants import Grants
from engine.model.limits import Limits
from engine.model.trigger import CronSpec, EverySpec, Kind, Trigger, kind
from engine.plugins.source import PluginFolder
from engine.triggers.scheduler import Scheduler
from engine.workers.registry import Registry

__all__ = ["TriggerDefinitions"]

log = logging.getLogger(__name__)
_KINDS = frozenset(Kind)
_UPSTREAM_NAMES = {Kind.WAL: "WalRows", Kind.SCHEDULE: "Schedule", Kind.REQUEST: "Request"}


class TriggerDefinitions:
    """The one way to change triggers; any thread may call."""

    def __init__(  # noqa: PLR0913  the services it joins
        self,
        catalog: CatalogStore,
        registry: Registry,
        scheduler: Scheduler,
        plugins: PluginFolder,
        clock: Clock,
        *,
        log_end: Callable[[], int],
        note_end: Callable[[Iterable[int], int], None],
        note_start: Callable[[Trigger], None],
        forget_progress: Callable[[int], None],
        allowed_kinds: frozenset[Kind] = _KINDS,
        admit: Callable[[Grants, Limits], None] = lambda grants, limits: None,  # noqa: ARG005
    ) -> None:
        """Set up the definitions.

        Args:
            catalog: the truth.
            registry: what runs.
            scheduler: what fires scheduled triggers.
            plugins: where plugins are found.
            clock: tells whether a schedule can still fire.
            log_end: the position behind the newest durable entry, from which a trigger starts.
            note_end: called with the database of a trigger that has begun to run, and the end of
                the log; what was written meanwhile has been announced without it.
            note_start: called with a trigger that begins anew: nothing before counts as missed.
            forget_progress: called with the id of a deleted trigger.
            allowed_kinds: of triggers that may be created; those that exist run on.
            admit: refuses grants and limits with InvalidParameter.
        """
        self._catalog = catalog
        self._registry = registry
        self._scheduler = scheduler
        self._plugins = plugins
        self._clock = clock
        self._log_end = log_end
        self._note_end = note_end
        self._note_start = note_start
        self._forget_progress = forget_progress
        self._allowed_kinds = allowed_kinds
        self._admit = admit
        self._lock = threading.Lock()

    def check(self, new: NewTrigger) -> None:
        """Check what the server gives to no trigger; before packages are had, which may take long.

        Raises:
            InvalidParameter: the server is set up to refuse triggers of its kind, or what it is
                to reach or use.
        """
        if kind(new.spec) not in self._allowed_kinds:
            name = _UPSTREAM_NAMES[kind(new.spec)]
            raise InvalidParameter(
                f"invalid request: server is configured to reject {name} plugin triggers"
            )
        self._admit(new.settings.grants, new.settings.limits)

    def create(self, new: NewTrigger, prepared: Prepared | None = None) -> None:
        """Create a trigger and start it unless it is to rest.

        Args:
            new: what the user gave.
            prepared: the environment of its own that it runs in, from `Provisioning.prepare`.

        Raises:
            InvalidParameter: see `check`.
            PluginFileError: its plugin cannot be read.
            UserError: the catalog refuses it; see `engine.catalog.commands.create_trigger`.
        """
        self.check(new)
        self._plugins.check(new.plugin)  # may wait for a repository, so before the lock
        with self._lock:
            decide = create_trigger(
                new,
                start=self._log_end(),
                now_ns=self._clock.now_ns(),
                pinned=None if prepared is None else Pinned(prepared.asked, prepared.lock),
            )
            self._catalog.update(decide)
            trigger = self._catalog.catalog.trigger_named(new.database, new.name)
            log.info("trigger created", extra={"trigger": trigger.name})
            if not trigger.disabled:
                self._note_start(trigger)
                self._start(trigger)

    def check_confines(self, grants: Grants | None, limits: Limits | None) -> None:
        """Check what a trigger is to reach and use; None is what it has.

        Raises:
            InvalidParameter: the server refuses them.
        """
        self._admit(grants or Grants(), limits or Limits())

    def confine(
        self, database: str, name: str, grants: Grants | None, limits: Limits | None
    ) -> None:
        """Change what a trigger's plugin may reach and use.

        A run that goes on ends as it began; before the next one its worker is replaced by one that
        has what is granted now. So no event is lost or run twice.

        Args:
            database: of the trigger.
            name: within its database.
            grants: in place of those that it has; None to keep them.
            limits: likewise.

        Raises:
            InvalidParameter: the server refuses them.
            UserError: no such trigger.
        """
        self.check_confines(grants, limits)
        with self._lock:
            after = self._catalog.update(confine_trigger(database, name, grants, limits))
            log.info("trigger confined anew", extra={"trigger": name})
            self._registry.confine(after.trigger_named(database, name))

    def enable(self, database: str, name: str) -> None:
        """Let a trigger run, from the end of the log on; nothing when it runs already."""
        with self._lock:
            before = self._catalog.catalog.trigger_named(database, name)
            if not before.disabled:
                return
            self._note_start(before)  # first: a crash in between leaves it disabled
            after = self._catalog.update(enable_trigger(database, name, start=self._log_end()))
            log.info("trigger enabled", extra={"trigger": name})
            self._registry.stop(before.id)  # it may still be on its way to disable itself
            self._start(after.trigger_named(database, name))

    def disable(self, database: str, name: str) -> None:
        """Let a trigger rest: cancel its run and end its worker; nothing when it rests already."""
        with self._lock:
            after = self._catalog.update(disable_trigger(database, name))
            trigger = after.trigger_named(database, name)
            log.info("trigger disabled", extra={"trigger": name})
            self._stop(trigger)

    def delete(self, database: str, name: str, *, force: bool) -> None:
        """Remove a trigger; one that is enabled only by force."""
        with self._lock:
            before = self._catalog.catalog
            self._catalog.update(delete_trigger(database, name, force=force))
            trigger = before.trigger_named(database, name)
            log.info("trigger deleted", extra={"trigger": name})
            self._stop(trigger)
            self._forget_progress(trigger.id)

    def delete_database(self, name: str, hard_delete: HardDelete) -> None:
        """Delete a database and its triggers, or change when one in the trash is removed.

        Raises:
            UserError: see `engine.catalog.deletion.delete_database`.
        """
        with self._lock:
            before = self._catalog.catalog
            decide = delete_database(name, self._clock.now_ns(), hard_delete)
            after = self._catalog.update(decide)
            log.info("database deleted", extra={"database": name})
            for trigger_id in before.triggers.keys() - after.triggers.keys():
                self._stop(before.triggers[trigger_id])
                self._forget_progress(trigger_id)

    def _start(self, trigger: Trigger) -> None:
        self._registry.start(trigger)
        self._note_end((trigger.database_id,), self._log_end())
        if isinstance(trigger.spec, CronSpec | EverySpec):
            self._scheduler.add(trigger.id, trigger.spec)

    def _stop(self, trigger: Trigger) -> None:
        self._scheduler.remove(trigger.id)
        self._registry.stop(trigger.id)
