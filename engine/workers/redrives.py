"""Events that were given up and are run again: where they wait, and what holds for their runs."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import replace

from engine.model.trigger import ErrorBehavior
from engine.workers.inbox import Redriven, Work
from engine.workers.moves import Policy

__all__ = ["Redrives", "policy_for"]


def policy_for(work: Work | None, policy: Policy) -> Policy:
    """Return the policy for the event in hand.

    One that is run again by hand has one attempt, because others wait behind it, and disables
    nothing: it is kept as a letter anyhow.
    """
    if not isinstance(work, Redriven):
        return policy
    return replace(policy, error_behavior=ErrorBehavior.RETRY, max_attempts=1, max_deaths=1)


class Redrives:
    """In order of arrival, any thread; `_lock` guards the queue and whether it is open."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: deque[Redriven] = deque()
        self._is_open = True

    def add(self, work: Redriven) -> bool:
        """Queue an event, unless the trigger has ended; return whether it is queued."""
        with self._lock:
            if self._is_open:
                self._waiting.append(work)
            return self._is_open

    def take(self) -> Redriven | None:
        """Return the next event, if any."""
        with self._lock:
            return self._waiting.popleft() if self._waiting else None

    def done(self, work: Work) -> None:
        """Tell whoever asked for the event that it has been run."""
        if isinstance(work, Redriven):
            work.on_end()

    def close(self) -> None:
        """Give back what waits, and take nothing more."""
        with self._lock:
            self._is_open = False
            waiting, self._waiting = self._waiting, deque()
        for work in waiting:
            work.on_end()
