"""The workers that run, for whoever watches over them all.

A worker is on the roster from its start until its process has been reaped and before its
descriptors are closed, so whoever kills one under the roster's lock kills no other.
"""

from __future__ import annotations

import contextlib
import logging
import signal
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from engine.model.limits import Limits
from engine.sandbox.groups import Group

__all__ = ["Roster", "Watched", "WatchedProcess"]

log = logging.getLogger(__name__)


class WatchedProcess(Protocol):
    """What is needed of a worker's process."""

    @property
    def pid(self) -> int:
        """Process id of what was started."""
        ...

    @property
    def pidfd(self) -> int:
        """Descriptor of the same process."""
        ...

    @property
    def group(self) -> Group | None:
        """The control group that it is in."""
        ...

    def note_over_limit(self, text: str) -> None:
        """Have its end told as a kill over a limit."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Watched:
    """One worker.

    Args:
        trigger_id: catalog id; 0 for a test of a plugin.
        trigger: name of the trigger.
        database: name of its database.
        process: which is watched.
        limits: what it may use.
        started_ns: UTC nanoseconds.
        private_dir: its own folder, if it has one.
        environment_dir: of the packages that it runs on.
    """

    trigger_id: int
    trigger: str
    database: str
    process: WatchedProcess
    limits: Limits
    started_ns: int
    private_dir: Path | None = None
    environment_dir: Path = Path()


class Roster:
    """Any thread; `_lock` guards the list, and kills."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._watched: dict[Watched, None] = {}

    def add(self, watched: Watched) -> None:
        """Note a worker that was started."""
        with self._lock:
            self._watched[watched] = None

    def remove(self, watched: Watched) -> None:
        """Forget a worker whose process has been reaped."""
        with self._lock:
            self._watched.pop(watched, None)

    def watched(self) -> tuple[Watched, ...]:
        """Return all that run."""
        with self._lock:
            return tuple(self._watched)

    def kill(self, watched: Watched, text: str) -> None:
        """Kill a worker over a limit, if it still runs; its lanes find the process ended.

        Args:
            watched: the worker.
            text: the limit and what was used, as `killed: memory 512 MiB, peak 517 MiB`.
        """
        with self._lock:
            if watched not in self._watched:
                return
            process = watched.process
            process.note_over_limit(text)
            # The process that was started first: whatever is left of its group or its namespace
            # goes when its lanes end it.
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(process.pidfd, signal.SIGKILL)
        log.warning("worker %s", text, extra={"trigger": watched.trigger})
