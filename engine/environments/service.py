"""The environments of one server: how they come into being, and what becomes of them.

    prepare: known and there? -> else lock -> build -> check -> try -> into its place

Nothing here is in service by being there: that is what the catalog pins, and an environment that no
pin names lies on the shelf until it is removed. So a server that is killed at any point leaves
nothing to be undone.

Any thread may call; `_lock` guards the count of renewals.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Collection
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

from engine.catalog.state import Catalog
from engine.environments.builders import Builders
from engine.environments.environment import BrokenEnvironment, Environment
from engine.environments.installer import InstallDisabled
from engine.environments.jobs import Job, Jobs, Label
from engine.environments.making import Keeper, Maker, Prepared
from engine.environments.pending import settled
from engine.environments.running import OnLine
from engine.environments.shelf import MissingEnvironment
from engine.model.lock import Asked, Lock, Reason

__all__ = ["Condition", "Environments"]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Condition:
    """How an environment on the shelf is.

    Args:
        is_there: whether it is, be it damaged.
        reason_broken: why it cannot be used; None when it can.
        size_bytes: of what it holds.
    """

    is_there: bool
    reason_broken: str | None = None
    size_bytes: int = 0


@dataclass(frozen=True, slots=True)
class _Order:
    """What is to be made: of a lock that is known, or of one that is yet to be found."""

    asked: Asked
    lock: Lock | None = None
    keep: Lock | None = None
    is_anew: bool = False

    @property
    def key(self) -> tuple[object, ...]:
        """What tells one order from another."""
        if self.lock is not None:
            return (self.lock.id, self.is_anew)
        return (self.asked.requirements, self.asked.python, self.keep.id if self.keep else None)


class Environments:
    """Prepares environments.

    Args:
        catalog: returns the newest one.
        maker: locks and builds.
        shelf: where environments lie.
        may_install: whether anything may be installed at all.
        now_ns: tells the time.
    """

    def __init__(
        self,
        catalog: Callable[[], Catalog],
        maker: Maker,
        shelf: Keeper,
        *,
        may_install: bool,
        now_ns: Callable[[], int],
    ) -> None:
        self.may_install = may_install
        self.shelf = shelf
        self._catalog = catalog
        self._maker = maker
        self._jobs = Jobs(now_ns)
        self._builders = Builders(self._jobs)
        self._lock = threading.Lock()
        self._renewals: Counter[str] = Counter()

    def start(self) -> None:
        """Remove what a killed server left half made; nothing that fails hinders."""
        try:
            self.shelf.sweep()
        except OSError as error:
            log.warning("half-made environments not removed", extra={"error": str(error)})

    def stop(self) -> None:
        """Give up what is being built, and refuse the rest."""
        self._builders.stop(self._maker.stop)

    def prepare(
        self, label: Label, asked: Asked, *, fresh: bool = False, keep: Lock | None = None
    ) -> Future[Prepared]:
        """Find or make an environment; it is not in service by that. May look at the disk.

        Args:
            label: whom it is for.
            asked: what it must hold.
            fresh: look for new versions, also when a lock is known.
            keep: a lock whose versions are kept where they still fit.

        Returns:
            A future that raises NoInterpreter, PackagesUnavailable, ProbeFailed, InstallFailed,
            BrokenEnvironment or Stopping.

        Raises:
            NoInterpreter: there is no Python as it is asked for.
            InstallDisabled: it is not there, and nothing may be installed.
            Busy: too many wait already.
            Stopping: the server is shutting down.
        """
        if not asked.requirements and self._maker.serves(asked, self._maker.empty()):
            return self.rebuild(label, asked, self._maker.empty())
        lock = None if fresh else self._known(asked)
        if lock is not None:
            return self.rebuild(label, asked, lock)
        return self._submit(label, _Order(asked, keep=keep))

    def rebuild(
        self, label: Label, asked: Asked, lock: Lock, *, anew: bool = False
    ) -> Future[Prepared]:
        """Make the environment of a known lock, if it is not there or damaged; see `prepare`.

        Args:
            label: whom it is for.
            asked: what the lock was made for.
            lock: which one.
            anew: also when it is there: it gives way, and its workers are outdated.
        """
        whole = None if anew else self._whole(lock.id)
        if whole is not None:
            return settled(Prepared(asked, lock, whole))
        return self._submit(label, _Order(asked, lock, is_anew=anew))

    def find(self, lock_id: str) -> Environment | None:
        """Return an environment, None when there is none.

        Raises:
            BrokenEnvironment: it is damaged.
        """
        try:
            return self.shelf.open(lock_id)
        except MissingEnvironment:
            return None

    def serves(self, asked: Asked, lock: Lock) -> bool:
        """Tell whether a lock is for the Python that would be chosen today; see `Maker`."""
        return self._maker.serves(asked, lock)

    def empty(self) -> Lock:
        """Return the lock without packages."""
        return self._maker.empty()

    def runtime(self, environment: Environment) -> Path:
        """Return the runtime folder that fits an environment; see `Maker`."""
        return self._maker.runtime(environment)

    def renewals(self, lock_id: str) -> int:
        """Return how often an environment gave way to a fresh one of the same lock."""
        return self._renewals[lock_id]

    def jobs(self) -> tuple[Job, ...]:
        """Return what is being prepared and what has failed lately."""
        return self._jobs.rows()

    def condition(self, lock_id: str) -> Condition:
        """Look at an environment on the shelf."""
        reason = None
        try:
            if self.find(lock_id) is None:
                return Condition(is_there=False)
        except BrokenEnvironment as error:
            reason = str(error)
        return Condition(True, reason, self.shelf.size_bytes(lock_id))

    def collect(self, unused_s: float, wanted: Collection[str]) -> None:
        """Remove environments that nobody has used for some seconds.

        Args:
            unused_s: since a worker was last started in it, or it was found for somebody.
            wanted: ids of locks that stay all the same.
        """
        for lock_id in self.shelf.unused(unused_s):
            if lock_id not in wanted and not self._builders.is_making(lock_id):
                log.info("removing an unused environment", extra={"lock": lock_id})
                self.shelf.remove(lock_id)

    def _known(self, asked: Asked) -> Lock | None:
        """Return the newest lock that was made for the same; not one that was gone back to."""
        catalog = self._catalog()
        last = [pin.history[-1] for pin in catalog.pins.values() if pin.asked == asked]
        good = [switch for switch in last if switch.reason is not Reason.ROLLED_BACK]
        for switch in sorted(good, key=lambda s: s.at_ns, reverse=True):
            lock = catalog.locks[switch.lock_id]
            if self._maker.serves(asked, lock):
                return lock
        return None

    def _submit(self, label: Label, order: _Order) -> Future[Prepared]:
        is_empty = order.lock is not None and not order.lock.text
        if not self.may_install and not is_empty:
            raise InstallDisabled
        return self._builders.submit(
            order.key, label, order.asked, lambda on_line: self._make(order, on_line)
        )

    def _make(self, order: _Order, on_line: OnLine) -> Prepared:
        lock = order.lock or self._maker.lock(order.asked, order.keep, on_line)
        with self._builders.alone_with(lock.id):
            environment = None if order.is_anew else self._whole(lock.id)
            if environment is None:
                environment = self._maker.make(lock, order.asked, on_line, anew=order.is_anew)
                self._note_made(lock, environment)
        return Prepared(order.asked, lock, environment)

    def _whole(self, lock_id: str) -> Environment | None:
        self.shelf.note_used(lock_id)  # first: it is not removed before it is put into service
        try:
            return self.find(lock_id)
        except BrokenEnvironment:
            return None

    def _note_made(self, lock: Lock, environment: Environment) -> None:
        with self._lock:
            self._renewals[lock.id] += 1
        if lock.text:  # else there is nothing to compile
            self._builders.aside(lambda: self._maker.polish(environment))
