"""One environment in a folder of its own, which packages are installed into in place.

It is the user's own, or was named by a setting: there is one state of it, the present one, and so
no way back. Any thread may call.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

from engine.environments.environment import BrokenEnvironment, Environment, open_environment
from engine.environments.home import Home

__all__ = ["StandingEnvironment"]

_FAILURE_LASTS_S = 2.0


class StandingEnvironment:
    """Opened when it is first needed; `_lock` guards that.

    Args:
        root: its folder; an empty environment is made when there is none.
        runtime: returns the runtime folder that fits it; raises BrokenEnvironment.
    """

    def __init__(self, root: Path, runtime: Callable[[Environment], Path]) -> None:
        self.root = root
        self._runtime = runtime
        self._lock = threading.Lock()
        self._opened: Home | None = None
        self._failure: BrokenEnvironment | None = None
        self._failed_until_s = 0.0
        self._version = 0

    def of(self, trigger_id: int) -> Home:  # noqa: ARG002  the same for all
        """Return the environment and the runtime folder that fits it.

        Raises:
            BrokenEnvironment: it cannot be made or used; a call some seconds later tries again.
        """
        with self._lock:
            if self._opened is None or not self._opened.environment.python.exists():
                self._opened = self._open()
            return self._opened

    def watch(self, trigger_id: int) -> Callable[[], bool]:  # noqa: ARG002  the same for all
        """Return a call that tells whether the packages have changed since; no lock is taken."""
        version = self._version
        return lambda: self._version != version

    def note_changed(self) -> None:
        """Have every worker that is running taken for outdated."""
        with self._lock:
            self._version += 1

    def _open(self) -> Home:
        # An interpreter that hangs is not waited for by one trigger after the other.
        if self._failure is not None and time.monotonic() < self._failed_until_s:
            raise self._failure
        try:
            environment = open_environment(self.root)
            runtime = self._runtime(environment)
        except BrokenEnvironment as failure:
            self._failure, self._failed_until_s = failure, time.monotonic() + _FAILURE_LASTS_S
            raise
        self._failure = None
        return Home(environment, runtime)
