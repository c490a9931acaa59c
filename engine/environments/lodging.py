"""Which environment each trigger's workers run in: its own, or the one that is shared.

    its pin, or the shared one's -> there? -> else built again in the background

The pins are the truth. The name of the shared environment in the plugin folder follows them; when
the user's own environment lies there, it serves all triggers without a pin of their own.

Any thread may call; `_lock` guards failures and who waits.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

from engine.catalog.state import Catalog
from engine.environments.environment import BrokenEnvironment
from engine.environments.home import BuildingEnvironment, Home
from engine.environments.installer import InstallDisabled
from engine.environments.jobs import SHARED_LABEL, Label
from engine.environments.making import Prepared
from engine.environments.pending import following
from engine.environments.service import Environments
from engine.environments.shared import SharedPlace
from engine.environments.standing import StandingEnvironment
from engine.errors import EngineError, Stopping
from engine.model.lock import SHARED, Asked, Lock, Pin

__all__ = ["Lodging", "label_of", "remedy"]

log = logging.getLogger(__name__)
_FAILURE_LASTS_S = 30.0


@dataclass(frozen=True, slots=True)
class _Failure:
    error: BaseException
    until_s: float


class Lodging:
    """The homes of all triggers.

    Args:
        catalog: returns the newest one.
        environments: makes what is missing.
        shared: the name of the shared environment.
        standing: the same when it is the user's own.
    """

    def __init__(
        self,
        catalog: Callable[[], Catalog],
        environments: Environments,
        shared: SharedPlace,
        standing: StandingEnvironment,
    ) -> None:
        self.standing = standing
        self._catalog = catalog
        self._environments = environments
        self._shared = shared
        self._is_foreign = shared.is_foreign()
        self._empty_id = ""
        self._naming = threading.Lock()  # who names last has looked last
        self._lock = threading.Lock()
        self._failures: dict[str, _Failure] = {}
        self._awaited: dict[int, Future[Prepared]] = {}

    def of(self, trigger_id: int) -> Home:
        """Return where workers of a trigger run now; see `Homes.of`."""
        lock = self.lock_of(trigger_id)
        if lock is None:
            return self.standing.of(trigger_id)
        try:
            environment = self._environments.find(lock.id)
        except BrokenEnvironment as error:
            raise self._beyond_use(trigger_id, str(error)) from error
        if environment is None:
            raise self._missing(trigger_id, lock)
        self._environments.shelf.note_used(lock.id)
        return Home(environment, self._environments.runtime(environment))

    def of_prepared(self, prepared: Prepared) -> Home:
        """Return a home in an environment that need not be in service."""
        self._environments.shelf.note_used(prepared.lock.id)
        return Home(prepared.environment, self._environments.runtime(prepared.environment))

    def watch(self, trigger_id: int) -> Callable[[], bool]:
        """Return a call that tells whether workers have to change over; see `Homes.watch`."""
        self.lock_of(trigger_id)  # what lies in the plugin folder may be another since
        before, has_changed = self._service(trigger_id), self.standing.watch(trigger_id)
        return lambda: self._service(trigger_id) != before or (before is None and has_changed())

    def is_building(self, trigger_id: int) -> bool:
        """Whether a trigger's workers wait for their environment."""
        awaited = self._awaited.get(trigger_id)
        return awaited is not None and not awaited.done()

    def with_building(self, phases: Mapping[int, str]) -> dict[int, str]:
        """Return what triggers are doing, by id, with `building` for those that wait for that."""
        return {id_: "building" if self.is_building(id_) else phases[id_] for id_ in phases}

    def lock_of(self, trigger_id: int) -> Lock | None:
        """Return the lock that a trigger runs on; None for the user's own environment."""
        self._is_foreign = self._shared.is_foreign()
        catalog = self._catalog()
        pin = self._pin(catalog, trigger_id)
        if pin is not None:
            return catalog.locks[pin.lock_id]
        if self._is_foreign:
            return None
        lock = self._environments.empty()
        self._empty_id = lock.id
        return lock

    def home_of(self, found: Future[Prepared | None]) -> Home:
        """Wait for what was prepared, None for the shared one, and return its home.

        Raises:
            As `Environments.prepare` and `of`.
        """
        prepared = found.result()
        if prepared is not None:
            return self.of_prepared(prepared)
        try:
            return self.of(SHARED)
        except BuildingEnvironment as building:
            building.done.result()
        return self.of(SHARED)

    @property
    def path(self) -> Path:
        """The name of the shared environment."""
        return self._shared.path

    def lead_to_shared(self) -> None:
        """Have the name of the shared environment lead to the one in service, if it is there."""
        try:
            with self._naming:
                lock = self.lock_of(SHARED)
                folder = None if lock is None else self._environments.shelf.path(lock.id)
                if folder is not None and folder.exists():
                    self._shared.lead_to(folder)
        except (EngineError, OSError) as error:
            log.warning(
                "the link to the shared environment cannot be written",
                extra={"path": self._shared.path, "error": str(error)},
            )

    def collect(self, unused_s: float, in_use: Collection[Path]) -> None:
        """Remove environments that nobody has used for some seconds and no pin has in service.

        Args:
            unused_s: since a worker was last started in it.
            in_use: folders of environments that workers run in.
        """
        wanted = {pin.lock_id for pin in self._catalog().pins.values()}
        wanted |= {folder.name for folder in in_use}
        if (shared := self.lock_of(SHARED)) is not None:
            wanted.add(shared.id)
        self._environments.collect(unused_s, wanted)

    def _service(self, trigger_id: int) -> tuple[str, int] | None:
        """Return what tells one state from another; asked before every event, so quick."""
        pin = self._pin(self._catalog(), trigger_id)
        if pin is None and self._is_foreign:
            return None
        lock_id = self._empty_id if pin is None else pin.lock_id
        return (lock_id, self._environments.renewals(lock_id))

    def _pin(self, catalog: Catalog, trigger_id: int) -> Pin | None:
        own = catalog.pins.get(trigger_id) if trigger_id != SHARED else None
        return own if own is not None or self._is_foreign else catalog.pins.get(SHARED)

    def _missing(self, trigger_id: int, lock: Lock) -> EngineError:
        with self._lock:
            failure = self._failures.get(lock.id)
        if failure is not None and time.monotonic() < failure.until_s:
            return self._beyond_use(trigger_id, str(failure.error))
        catalog = self._catalog()
        label, pin = label_of(catalog, trigger_id), self._pin(catalog, trigger_id)
        try:
            building = self._environments.rebuild(label, pin.asked if pin else Asked(), lock)
        except InstallDisabled as error:
            return self._beyond_use(trigger_id, f"the environment {lock.id} is gone, and {error}")
        with self._lock:
            self._awaited[trigger_id] = building
        building.add_done_callback(lambda done: self._note_end(trigger_id, lock.id, done))
        text = f"the environment of {label} is being built"
        return BuildingEnvironment(text, following(building, lambda _: None))

    def _note_end(self, trigger_id: int, lock_id: str, done: Future[Prepared]) -> None:
        error, now_s = done.exception(), time.monotonic()
        with self._lock:
            if self._awaited.get(trigger_id) is done:
                del self._awaited[trigger_id]
            self._failures = {
                id_: each
                for id_, each in self._failures.items()
                if id_ != lock_id and now_s < each.until_s
            }
            if error is not None and not isinstance(error, Stopping):
                self._failures[lock_id] = _Failure(error, now_s + _FAILURE_LASTS_S)
        self.lead_to_shared()

    def _beyond_use(self, trigger_id: int, reason: str) -> BrokenEnvironment:
        return BrokenEnvironment(f"{reason}; {remedy(label_of(self._catalog(), trigger_id))}")


def label_of(catalog: Catalog, trigger_id: int) -> Label:
    """Return whom the environment is for that a trigger runs in."""
    if trigger_id == SHARED or trigger_id not in catalog.pins:
        return SHARED_LABEL
    trigger = catalog.triggers[trigger_id]
    return Label(catalog.database_by_id(trigger.database_id).name, trigger.name)


def remedy(label: Label) -> str:
    """Return what to do about an environment that is damaged."""
    return f"repair it with: bulkhead repair environment {label.options}"
