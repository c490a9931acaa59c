"""What is being prepared right now, and what has failed lately, for whoever wants to watch.

Any thread may call.
"""

from __future__ import annotations

import shlex
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum

from engine.model.lock import Asked

__all__ = ["SHARED_LABEL", "Job", "JobState", "Jobs", "Label"]

_FAILED_KEPT = 50
_LONGEST_LINE = 400


@dataclass(frozen=True, slots=True)
class Label:
    """Whom an environment is for.

    Args:
        database: of the trigger; empty for the environment that all share.
        trigger: its name; None for the environment that all share.
    """

    database: str
    trigger: str | None

    def __str__(self) -> str:
        """Name it for people."""
        if self.trigger is None:
            return "the shared environment"
        return f"trigger {self.trigger!r} of database {self.database!r}"

    @property
    def options(self) -> str:
        """What names it on the command line, behind a command."""
        if self.trigger is None:
            return "--shared"
        return f"{shlex.quote(self.trigger)} --database {shlex.quote(self.database)}"


SHARED_LABEL = Label("", None)


class JobState(Enum):
    """Where a job stands; one that has come to an environment is no more."""

    BUILDING = "building"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Job:
    """One environment on its way.

    Args:
        asked: what for.
        began_ns: UTC nanoseconds.
        last_line: what the installer said last; empty at first.
        error: why it failed.
    """

    label: Label
    asked: Asked
    state: JobState
    began_ns: int
    last_line: str = ""
    error: str | None = None


class Jobs:
    """`_lock` guards both lists."""

    def __init__(self, now_ns: Callable[[], int]) -> None:
        self._now_ns = now_ns
        self._lock = threading.Lock()
        self._next = 0
        self._running: dict[int, Job] = {}
        self._failed: deque[Job] = deque(maxlen=_FAILED_KEPT)

    def begin(self, label: Label, asked: Asked) -> int:
        """Note that something has begun; return its number."""
        with self._lock:
            self._next += 1
            self._running[self._next] = Job(label, asked, JobState.BUILDING, self._now_ns())
            return self._next

    def note_line(self, number: int, line: str) -> None:
        """Note what the installer says; nothing once it has ended."""
        with self._lock:
            job = self._running.get(number)
            if job is not None:
                self._running[number] = replace(job, last_line=line[:_LONGEST_LINE])

    def end(self, number: int, error: BaseException | None) -> None:
        """Note that it has ended, and why if it has failed."""
        with self._lock:
            job = self._running.pop(number)
            if error is not None:
                self._failed.append(replace(job, state=JobState.FAILED, error=str(error)))

    def rows(self) -> tuple[Job, ...]:
        """Return what has failed, oldest first, then what runs."""
        with self._lock:
            return (*self._failed, *self._running.values())
