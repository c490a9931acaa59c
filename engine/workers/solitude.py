"""Who of a trigger's lanes may run its event now, and who shared a process that died.

Several events run in the process of an asynchronous trigger. When it dies by itself, one of them
may be poison and the others are bystanders; nobody can tell. All of them become suspects, and a
suspect is run only when nothing else is in the process, until its run has come to an end. So the
next death has one event to blame, and bystanders are never given up for it.

Threads: each lane calls for itself; `_lock` guards the sets. `on_change` is called without it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

__all__ = ["Solitude"]


class Solitude:
    """The lanes that run an event, and those whose event is suspect."""

    def __init__(self, on_change: Callable[[], object]) -> None:
        """Set up without suspects.

        Args:
            on_change: called when a lane that was refused may ask again.
        """
        self._on_change = on_change
        self._lock = threading.Lock()
        self._running: set[int] = set()
        self._suspects: set[int] = set()
        self._untold: set[int] = set()  # who was in the process that died and has yet to see it

    def enter(self, lane: int) -> bool:
        """Ask to run an event; return whether the lane may."""
        with self._lock:
            others = self._running - {lane}
            if self._suspects and (others or lane not in self._suspects):
                return False
            self._running.add(lane)
            return True

    def leave(self, lane: int) -> None:
        """Note that the run came to an end of whatever kind, but for a death of the process."""
        with self._lock:
            for lanes in (self._running, self._suspects, self._untold):
                lanes.discard(lane)
        self._on_change()

    def interrupt(self, lane: int) -> None:
        """Note that the run was broken off, and will be begun again; a suspect stays one."""
        with self._lock:
            self._running.discard(lane)
            self._untold.discard(lane)
        self._on_change()

    def die(self, lane: int) -> bool:
        """Note that the process has died under the run; return whether others were in it.

        Every lane that runs tells so by itself, the first for all.
        """
        with self._lock:
            if len(self._running) > 1:
                self._suspects |= self._running
                self._untold |= self._running
            is_shared = lane in self._untold
            self._untold.discard(lane)
            self._running.discard(lane)
        self._on_change()
        return is_shared
