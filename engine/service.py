"""A service is one named thread with an owner.

The owner calls `start`, then `stop`, which asks the thread to end and joins it within a limit.
A crash of the thread is reported to the owner once, by the callback given at construction; a
service that has crashed is not restarted silently.
"""

from __future__ import annotations

import logging
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable

__all__ = ["CrashHandler", "Service"]

log = logging.getLogger(__name__)

CrashHandler = Callable[[str, BaseException], None]


class Service(ABC):
    """One named thread; subclasses implement `run` and `wake`.

    `start` and `stop` are called by the owner's thread, `run` by the service's own.
    """

    def __init__(self, name: str, on_crash: CrashHandler | None = None) -> None:
        self.name = name
        self._on_crash = on_crash
        self._stop_requested = threading.Event()
        self._thread: threading.Thread | None = None

    def __repr__(self) -> str:
        """Describe the service in a sentence."""
        alive = self._thread is not None and self._thread.is_alive()
        return f"<{type(self).__name__} {self.name}: {'running' if alive else 'not running'}>"

    @property
    def is_stopping(self) -> bool:
        """Whether the owner has asked for the end."""
        return self._stop_requested.is_set()

    def start(self) -> None:
        """Start the thread."""
        self._thread = threading.Thread(target=self._guarded_run, name=self.name)
        self._thread.start()

    def request_stop(self) -> None:
        """Ask the thread to end without waiting for it."""
        self._stop_requested.set()
        self.wake()

    def stop(self, timeout_s: float = 10.0) -> bool:
        """Ask the thread to end and wait for it.

        Returns:
            Whether the thread has ended within the limit.
        """
        self.request_stop()
        if self._thread is None:
            return True
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            log.error("service did not stop in time", extra={"service": self.name})
            return False
        return True

    @abstractmethod
    def run(self) -> None:
        """Do the work until `is_stopping`; called in the service's own thread."""

    @abstractmethod
    def wake(self) -> None:
        """Interrupt the wait in `run` so that it sees the request to stop."""

    def _guarded_run(self) -> None:
        try:
            self.run()
        except BaseException as error:
            log.exception("service crashed", extra={"service": self.name})
            if self._on_crash is not None:
                self._on_crash(self.name, error)
