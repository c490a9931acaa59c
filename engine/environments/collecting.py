"""Removes environments that nobody uses any more: at the start, and once a day."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from engine.errors import EngineError
from engine.service import CrashHandler, Service

__all__ = ["Collector"]

log = logging.getLogger(__name__)
_INTERVAL_S = 86_400.0


class Collector(Service):
    """A thread that looks for what may go.

    Args:
        collect: removes it.
        on_crash: as for every service.
    """

    def __init__(self, collect: Callable[[], None], on_crash: CrashHandler) -> None:
        super().__init__("environment-collector", on_crash)
        self._collect = collect
        self._woken = threading.Event()

    def run(self) -> None:
        """Collect, and wait for a day."""
        while not self.is_stopping:
            try:
                self._collect()
            except (EngineError, OSError) as error:
                log.warning("unused environments not removed", extra={"error": str(error)})
            self._woken.wait(_INTERVAL_S)

    def wake(self) -> None:
        """Interrupt the wait."""
        self._woken.set()
