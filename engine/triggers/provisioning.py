"""Change which packages triggers run on: prepare first, then switch, and leave all else as it was.

    ask -> turn of this trigger -> prepare (`engine.environments`) -> commit the pin -> change over

The commit of a pin is the switch. Whatever fails before it has changed nothing, whatever is killed
after it has changed everything. Workers see the pin before their next event, finish what they run,
and go on in the new environment; no event is lost or run twice.

Any thread may call. No call waits for an installer: the answers are futures. What comes first is
done by a few threads of our own; the rest by whichever thread brings what was waited for.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from engine.catalog.commands import NewTrigger, create_trigger
from engine.catalog.pinning import Pinned, require_trigger, unpin_environment
from engine.catalog.store import CatalogStore
from engine.clock import Clock
from engine.environments.home import Home
from engine.environments.installation import Wanted
from engine.environments.installer import InstallDisabled
from engine.environments.jobs import SHARED_LABEL, Label
from engine.environments.lodging import Lodging
from engine.environments.making import Prepared
from engine.environments.pending import Turns, following, settled
from engine.environments.service import Environments
from engine.errors import InvalidParameter, NotFound, Stopping
from engine.model.lock import SHARED, Asked, EnvironmentChange, Reason
from engine.model.trigger import Trigger
from engine.plugins.source import Source
from engine.triggers.describing import describe
from engine.triggers.description import Description
from engine.triggers.restoring import Restoration
from engine.triggers.switching import Switchboard
from engine.triggers.wishes import Wishes

__all__ = ["Provisioning"]

log = logging.getLogger(__name__)
T = TypeVar("T")
_THREADS = 4
_MOST_WAITING = 8


class Provisioning:
    """The one way to change what is pinned.

    Args:
        catalog: holds the pins.
        environments: prepares.
        lodging: tells what is in service.
        wishes: tells what plugins ask for.
        clock: of histories.
        wake: has the workers of a trigger, by id, look whether they are outdated; None for all.
        install_in_place: installs into a shared environment that is the user's own.
        note: writes why something failed to the log of a trigger, by its name.
    """

    def __init__(  # noqa: PLR0913  the services it joins
        self,
        catalog: CatalogStore,
        environments: Environments,
        lodging: Lodging,
        wishes: Wishes,
        clock: Clock,
        *,
        wake: Callable[[int | None], None],
        install_in_place: Callable[[Wanted], Future[EnvironmentChange]],
        note: Callable[[str, str], None],
    ) -> None:
        self._catalog = catalog
        self._environments = environments
        self._lodging = lodging
        self._wishes = wishes
        self._clock = clock
        self._install_in_place = install_in_place
        self._note = note
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="provisioning")
        self._turns = Turns(_MOST_WAITING, self._pool.submit)
        self._switchboard = Switchboard(catalog, lodging, clock, wake=wake, soon=self._soon)
        self._restoration = Restoration(catalog, environments, lodging, self._switchboard)

    def stop(self) -> None:
        """Begin nothing more; to be called once nothing is being built."""
        self._pool.shutdown(wait=True)

    def prepare(self, new: NewTrigger) -> Future[Prepared | None]:
        """Find or make the environment of a trigger that is to be created.

        Returns:
            A future with None for a plugin that asks for nothing and so runs in the shared one. It
            raises PluginFileError, RequirementsInvalid, what the catalog would refuse, and what
            `Environments.prepare` raises.

        Raises:
            Busy: too many wait.
            Stopping: the server is shutting down.
        """
        return self._turns.take(object(), lambda: self._prepare(new))

    def require(
        self,
        database: str,
        name: str,
        requirements: Sequence[str] | None = None,
        *,
        upgrade: bool = False,
    ) -> Future[EnvironmentChange]:
        """Change what a trigger requires, or look for newer versions; raises as `prepare`.

        Args:
            database: of the trigger.
            name: within its database.
            requirements: beside those of its plugin, in place of those that it has; None to keep
                them.
            upgrade: take the newest versions of everything.

        Raises:
            DatabaseNotFound, NotFound: there is no such trigger.
        """
        trigger = self._catalog.catalog.trigger_named(database, name)
        change = self._turns.take(
            trigger.id, lambda: self._require(trigger.id, requirements, upgrade=upgrade)
        )
        return self._noted(trigger, change)

    def install(self, wanted: Wanted) -> Future[EnvironmentChange]:
        """Install packages for all who share; raises as `prepare`, at once if disabled."""
        if not self._environments.may_install:
            raise InstallDisabled
        return self._turns.take(SHARED, lambda: self._install(wanted))

    def rollback(
        self, database: str | None = None, name: str | None = None, lock_id: str | None = None
    ) -> Future[EnvironmentChange]:
        """Go back to packages that were in service before.

        Args:
            database: of the trigger; None for the shared environment.
            name: of the trigger; None for the shared environment.
            lock_id: of the history, or its beginning; None for the one before the present one.

        Returns:
            A future that raises NoEarlierEnvironment as well.

        Raises:
            DatabaseNotFound, NotFound: there is no such trigger.
        """
        target = self._target(database, name)
        return self._turns.take(target, lambda: self._restoration.roll_back(target, lock_id))

    def repair(
        self, database: str | None = None, name: str | None = None
    ) -> Future[EnvironmentChange]:
        """Make the environment anew that a trigger, or without one those who share, run in.

        Raises:
            DatabaseNotFound, NotFound: there is no such trigger.
        """
        target = self._target(database, name)
        if target not in self._catalog.catalog.pins:
            target = SHARED
        return self._turns.take(target, lambda: self._restoration.repair(target))

    def follow(
        self, trigger: Trigger, asked: Asked | None, is_wanted: Callable[[], bool]
    ) -> Future[EnvironmentChange]:
        """Go over to what a plugin's changed code asks for; raises as `prepare`.

        Args:
            trigger: whose code has changed.
            asked: by code and trigger; None for nothing.
            is_wanted: asked before the switch; without it nothing changes.
        """
        return self._turns.take(trigger.id, lambda: self._follow(trigger, asked, is_wanted))

    def describe(self, database: str | None = None, name: str | None = None) -> Description:
        """Describe the environment of a trigger, or the shared one; looks at the disk.

        Raises:
            DatabaseNotFound, NotFound: there is no such trigger.
        """
        target = self._target(database, name)
        return describe(self._catalog.catalog, self._environments, self._lodging, target)

    def home_for(self, plugin: str, source: Source) -> Home:
        """Return where a plugin may be tried; waits as long as it takes to build that.

        Raises:
            As the future of `prepare`.
        """
        asked = self._wishes.of(plugin, (), source)
        found: Future[Prepared | None] = settled(None)
        if asked is not None:
            label = Label("", f"test of {plugin}")
            found = following(self._environments.prepare(label, asked), lambda prepared: prepared)
        return self._lodging.home_of(found)

    # --- each in its turn, in a thread of ours

    def _prepare(self, new: NewTrigger) -> Future[Prepared | None]:
        decide = create_trigger(new, start=0, now_ns=self._clock.now_ns())
        decide(self._catalog.catalog)  # what would be refused afterwards is not built
        asked = self._wishes.of(new.plugin, new.settings.requirements)
        if asked is None:
            return settled(None)
        prepared = self._environments.prepare(Label(new.database, new.name), asked)
        return following(prepared, lambda found: found)

    def _require(
        self, trigger_id: int, requirements: Sequence[str] | None, *, upgrade: bool
    ) -> Future[EnvironmentChange]:
        trigger = self._catalog.catalog.trigger_by_id(trigger_id)
        given = trigger.settings.requirements if requirements is None else tuple(requirements)
        asked = self._wishes.of(trigger.plugin, given)
        if asked is None and upgrade:
            raise InvalidParameter(
                f"trigger {trigger.name!r} asks for no packages, and so runs in the environment "
                "that is shared; install the newer packages there, or give it requirements"
            )

        def switch(found: Prepared | None) -> EnvironmentChange:
            is_same = given == trigger.settings.requirements
            if found is not None and is_same:
                reason = Reason.UPGRADED if upgrade else Reason.UPDATED
                return self._switchboard.pin(trigger.id, found, reason)
            pinned = None if found is None else Pinned(found.asked, found.lock)
            decide = require_trigger(trigger.id, given, pinned, at_ns=self._clock.now_ns())
            return self._switchboard.apply(trigger.id, decide)

        return following(self._wished(trigger, asked, fresh=upgrade), switch)

    def _follow(
        self, trigger: Trigger, asked: Asked | None, is_wanted: Callable[[], bool]
    ) -> Future[EnvironmentChange]:
        def switch(found: Prepared | None) -> EnvironmentChange:
            if not is_wanted():
                raise Stopping
            if found is None:
                return self._switchboard.apply(trigger.id, unpin_environment(trigger.id))
            return self._switchboard.pin(trigger.id, found, Reason.CODE_CHANGED)

        return following(self._wished(trigger, asked), switch)

    def _wished(
        self, trigger: Trigger, asked: Asked | None, *, fresh: bool = False
    ) -> Future[Prepared | None]:
        if asked is None:
            return settled(None)
        has_own = trigger.id in self._catalog.catalog.pins
        keep = self._lodging.lock_of(trigger.id) if has_own and not fresh else None
        database = self._catalog.catalog.database_by_id(trigger.database_id)
        label = Label(database.name, trigger.name)  # its own, also when it has none yet
        prepared = self._environments.prepare(label, asked, fresh=fresh, keep=keep)
        return following(prepared, lambda found: found)

    def _install(self, wanted: Wanted) -> Future[EnvironmentChange]:
        lock = self._lodging.lock_of(SHARED)
        if lock is None:
            return self._install_in_place(wanted)
        pin = self._catalog.catalog.pins.get(SHARED)
        asked = self._wishes.with_installed(pin.asked if pin is not None else Asked(), wanted)
        prepared = self._environments.prepare(SHARED_LABEL, asked, keep=lock)

        def switch(found: Prepared) -> EnvironmentChange:
            self._switchboard.begin_shared()
            return self._switchboard.pin(SHARED, found, Reason.INSTALLED)

        return following(prepared, switch)

    # --- small things

    def _noted(
        self, trigger: Trigger, change: Future[EnvironmentChange]
    ) -> Future[EnvironmentChange]:
        def note(done: Future[EnvironmentChange]) -> None:
            error = done.exception()
            if error is not None and not isinstance(error, Stopping):
                self._note(trigger.name, f"the environment stays as it is: {error}")

        change.add_done_callback(note)
        return change

    def _soon(self, work: Callable[[], None]) -> None:
        try:
            self._pool.submit(work)
        except RuntimeError:
            log.info("the server stops; workers are not told")

    def _target(self, database: str | None, name: str | None) -> int:
        if name is None:
            return SHARED
        if database is None:
            raise NotFound(name)
        return self._catalog.catalog.trigger_named(database, name).id
