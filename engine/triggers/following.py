"""Code and packages that change together: a plugin's file is edited, and asks for something else.

    new code -> asks for what is pinned? -> serve it
             -> else the code of before serves on, while the environment is prepared
             -> both change over together, or, when it cannot be had, neither

After a start there is no code of before: events wait for the environment, and when that cannot be
had the new code runs on the packages that are there. Used by the threads that drive the worker,
and told of ends by those that build; `_lock` guards all fields and is held while the code is
looked at.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future

from engine.catalog.state import Catalog
from engine.environments.home import BuildingEnvironment
from engine.environments.pending import following
from engine.errors import EngineError, EngineFault, Stopping
from engine.model.lock import Asked, EnvironmentChange
from engine.model.trigger import Trigger
from engine.plugins.source import PluginCode, Source
from engine.triggers.provisioning import Provisioning
from engine.triggers.wishes import Wishes

__all__ = ["FollowedCode"]

_RETRY_S = 60.0


class FollowedCode:
    """A plugin's code, whose packages follow it.

    Args:
        trigger: whose plugin it is.
        code: as it is on the disk.
        catalog: returns the newest one.
        wishes: tells what code asks for.
        provisioning: gets it.
        report: called with a text when it cannot be had, once for each version of the code.
    """

    def __init__(
        self,
        trigger: Trigger,
        code: PluginCode,
        *,
        catalog: Callable[[], Catalog],
        wishes: Wishes,
        provisioning: Provisioning,
        report: Callable[[str], None],
    ) -> None:
        self._trigger = trigger
        self._code = code
        self._catalog = catalog
        self._wishes = wishes
        self._provisioning = provisioning
        self._report = report
        self._lock = threading.RLock()  # what has ended already ends while it is begun
        self._seen: tuple[str, Asked | None] | None = None
        self._newest: Source | None = None
        self._served: Source | None = None
        self._pending: Future[EnvironmentChange] | None = None
        self._reported: str | None = None
        self._retry_at_s: float | None = None

    def current(self) -> Source:
        """Return the newest code whose packages are in service; see `PluginCode.current`.

        Raises:
            BuildingEnvironment: there is none yet, and it is being prepared.
        """
        source = self._code.current()
        with self._lock:
            pin = self._catalog().pins.get(self._trigger.id)
            seen = (source.version, pin.asked if pin is not None else None)
            if seen != self._seen or self._is_time_to_retry():
                self._look(source, seen)
            elif self._pending is not None and self._pending.done():
                self._settle(source, self._pending)  # its own thread has not come to it yet
            if self._served is not None:
                return self._served
            if self._pending is None:
                raise AssertionError("code is served, or its packages are on their way")
            ended = following(self._pending, lambda _: None)
            raise BuildingEnvironment("the environment is being built", ended)

    def _look(self, source: Source, seen: tuple[str, Asked | None]) -> None:
        self._seen, self._newest = seen, source
        self._pending = self._retry_at_s = None
        try:
            trigger, given = self._trigger, self._requires()
            asked = self._wishes.of(trigger.plugin, given, source)
            if asked == seen[1]:
                self._served = source
                return
            pending = self._provisioning.follow(
                trigger, asked, lambda: self._newest is source and self._requires() == given
            )
            self._pending = pending
            # At once: it may be long until the next event asks for the code.
            pending.add_done_callback(lambda ended: self._note_end(source, ended))
        except EngineError as error:
            self._go_without(source, error)

    def _note_end(self, source: Source, ended: Future[EnvironmentChange]) -> None:
        with self._lock:
            if self._pending is ended:
                self._settle(source, ended)

    def _settle(self, source: Source, pending: Future[EnvironmentChange]) -> None:
        self._pending = None
        error = pending.exception()
        if error is None:
            self._served = source
        else:
            self._go_without(source, error)

    def _go_without(self, source: Source, error: BaseException) -> None:
        if isinstance(error, EngineFault):  # as an index that is away, and may be back
            self._retry_at_s = time.monotonic() + _RETRY_S
        which = "goes on serving, with its packages"
        if self._served is None:
            self._served = source
            which = "is new, and runs on the packages that were there before"
        if self._reported != source.version and not isinstance(error, Stopping):
            self._reported = source.version
            code = "the code" if self._served is source else "the code of before"
            self._report(f"{error}; {code} {which}")

    def _requires(self) -> tuple[str, ...]:
        """Return what the trigger itself requires by now."""
        trigger = self._catalog().triggers.get(self._trigger.id, self._trigger)
        return trigger.settings.requirements

    def _is_time_to_retry(self) -> bool:
        return self._retry_at_s is not None and time.monotonic() > self._retry_at_s
