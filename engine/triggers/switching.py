"""The moment in which a trigger, or all who share, go over to other packages.

The commit is the switch; then those concerned are woken, one after the other, and change over
before their next event. Any thread may call; nothing here waits for a worker. `_lock` guards
whether all are being woken, and have to be once more.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from engine.catalog.change import Decide
from engine.catalog.pinning import Pinned, pin_environment
from engine.catalog.store import CatalogStore
from engine.clock import Clock
from engine.environments.lodging import Lodging
from engine.environments.making import Prepared
from engine.model.lock import SHARED, Asked, EnvironmentChange, Reason, change_between

__all__ = ["Switchboard"]

log = logging.getLogger(__name__)


class Switchboard:
    """Commits switches.

    Args:
        catalog: holds the pins.
        lodging: tells what is in service.
        clock: of histories.
        wake: has the workers of a trigger, by id, look whether they are outdated; None for all.
            It may take its time.
        soon: runs a call in some other thread.
    """

    def __init__(
        self,
        catalog: CatalogStore,
        lodging: Lodging,
        clock: Clock,
        *,
        wake: Callable[[int | None], None],
        soon: Callable[[Callable[[], None]], None],
    ) -> None:
        self._catalog = catalog
        self._lodging = lodging
        self._clock = clock
        self._wake = wake
        self._soon = soon
        self._lock = threading.Lock()
        self._is_due = False
        self._is_waking = False

    def pin(self, target: int, found: Prepared, reason: Reason) -> EnvironmentChange:
        """Put an environment into service.

        Args:
            target: id of a trigger, or `SHARED`.
            found: the environment.
            reason: of the history.

        Raises:
            NotFound: the trigger is gone.
        """
        pinned = Pinned(found.asked, found.lock)
        now_ns = self._clock.now_ns()
        return self.apply(target, pin_environment(target, pinned, at_ns=now_ns, reason=reason))

    def begin_shared(self) -> None:
        """Have the history of the shared environment begin with what is there now."""
        lock = self._lodging.lock_of(SHARED)
        if lock is None or SHARED in self._catalog.catalog.pins:
            return
        self._catalog.update(
            pin_environment(
                SHARED,
                Pinned(Asked(), lock),
                at_ns=self._clock.now_ns(),
                reason=Reason.CREATED,
            )
        )

    def apply(self, target: int, decide: Decide) -> EnvironmentChange:
        """Commit what may be a switch, and tell what it came to."""
        before = self._lodging.lock_of(target)
        self._catalog.update(decide)
        after = self._lodging.lock_of(target)
        if target == SHARED:
            self._lodging.lead_to_shared()
        if after is not None:
            log.info("environment in service", extra={"target": target, "lock": after.id})
        # What was made anew may serve others as well, and the shared one does.
        is_for_all = target == SHARED or before == after
        if is_for_all:
            self._wake_all()
        else:
            self._soon(lambda: self._wake(target))
        return change_between(before, after)

    def _wake_all(self) -> None:
        """Have all woken soon; one thread does that for however many switches."""
        with self._lock:
            self._is_due = True
            if self._is_waking:
                return
            self._is_waking = True
        self._soon(self._wake_while_due)

    def _wake_while_due(self) -> None:
        while True:
            with self._lock:
                self._is_waking, self._is_due = self._is_due, False
                if not self._is_waking:
                    return
            try:
                self._wake(None)
            except Exception:
                log.exception("workers could not be told of a switch")
