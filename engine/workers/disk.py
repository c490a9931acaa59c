"""How much private folders hold: counted now and then, at a bounded share of one processor.

A plugin owns its private folder and may put anything there; what counts it must follow no link and
bound its own walk, as `engine.sandbox.tree.size` does.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from engine.errors import WorkerOverLimit
from engine.sandbox.overruns import disk_overrun, uncounted_overrun
from engine.workers.removed import removed_bytes

__all__ = ["Disk", "Held"]

_INTERVAL_S = 1.0
_REST_PER_WORK = 20.0  # of the time for one count, until the next
_IDLE_INTERVAL_S = 15.0


class Held(Protocol):
    """What a folder holds; incomplete when there was too much, or no way in."""

    @property
    def disk_bytes(self) -> int:
        """On the disk."""
        ...

    @property
    def entries(self) -> int:
        """Files and folders."""
        ...

    @property
    def is_complete(self) -> bool:
        """Whether all was counted."""
        ...


@dataclass(frozen=True, slots=True)
class _Sum:
    """What a folder holds, and files that were removed from it but are open."""

    disk_bytes: int
    entries: int
    is_complete: bool


@dataclass(slots=True)
class _Count:
    held: Held | None
    cpu_s: float
    at_s: float
    next_s: float


class Disk:
    """`look` is for the thread of the watch, `check` for any; `_lock` guards who was over."""

    def __init__(self, measure: Callable[[str], Held]) -> None:
        """Begin to count.

        Args:
            measure: counts what a folder holds; it may raise OSError.
        """
        self._measure = measure
        self._counts: dict[Path, _Count] = {}
        self._lock = threading.Lock()
        self._full: set[Path] = set()

    def look(self, folder: Path, cpu_s: float, pids: Sequence[int] = ()) -> Held | None:
        """Return what a folder holds, counted anew when that is due.

        Args:
            folder: somebody's private folder.
            cpu_s: what its owner has used so far: without work nothing is written.
            pids: of its owner, who may hold files without a name.
        """
        now_s = time.monotonic()
        last = self._counts.get(folder)
        if last is not None and now_s < last.next_s:
            return last.held
        if last is not None and last.cpu_s == cpu_s and now_s < last.at_s + _IDLE_INTERVAL_S:
            return last.held
        held = self._count(folder, pids)
        end_s = time.monotonic()
        next_s = end_s + max(_INTERVAL_S, (end_s - now_s) * _REST_PER_WORK)
        self._counts[folder] = _Count(held, cpu_s, end_s, next_s)
        return held

    def keep(self, folders: set[Path]) -> None:
        """Forget the counts of all other folders."""
        for folder in self._counts.keys() - folders:
            del self._counts[folder]

    def overrun(self, folder: Path, held: Held, limit_bytes: int) -> str | None:
        """Return what is said of a folder that holds too much, and remember it."""
        if held.disk_bytes > limit_bytes:
            text = disk_overrun(limit_bytes, held.disk_bytes)
        elif not held.is_complete:
            text = uncounted_overrun(limit_bytes, held.entries)
        else:
            return None
        with self._lock:
            self._full.add(folder)
        return text

    def check(self, folder: Path, limit_bytes: int | None) -> None:
        """Let no worker start on a folder that got another one killed and was not cleared.

        Each start would otherwise add what can be written until the next count.

        Raises:
            WorkerOverLimit: it still holds too much.
        """
        with self._lock:
            if folder not in self._full:
                return
            self._full.discard(folder)
        self._counts.pop(folder, None)  # else the next worker would be judged by the last count
        held = self._count(folder)
        if held is None or limit_bytes is None:
            return
        text = self.overrun(folder, held, limit_bytes)
        if text is not None:
            what = text.removeprefix("killed: ")
            raise WorkerOverLimit(f"{what}; remove files from {folder}, or raise limits.disk")

    def _count(self, folder: Path, pids: Sequence[int] = ()) -> Held | None:
        try:
            held = self._measure(str(folder))
            removed = removed_bytes(pids, folder.lstat().st_dev) if pids else 0
        except OSError:
            return None
        return _Sum(held.disk_bytes + removed, held.entries, held.is_complete)
