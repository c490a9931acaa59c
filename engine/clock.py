"""Time as an argument: the wall clock in the server, a clock moved by hand in tests."""

from __future__ import annotations

import threading
import time
from typing import Protocol

__all__ = ["Clock", "ManualClock", "SystemClock"]


class Clock(Protocol):
    """A source of time."""

    def now_ns(self) -> int:
        """Return nanoseconds since the Unix epoch, UTC."""
        ...

    def monotonic_s(self) -> float:
        """Return seconds that never go back, from an arbitrary start."""
        ...


class SystemClock:
    """The machine's clock."""

    def now_ns(self) -> int:
        """Return nanoseconds since the Unix epoch, UTC."""
        return time.time_ns()

    def monotonic_s(self) -> float:
        """Return seconds that never go back, from an arbitrary start."""
        return time.monotonic()


class ManualClock:
    """A clock that stands still until it is advanced; may be called from any thread."""

    def __init__(self, now_ns: int = 0) -> None:
        self._lock = threading.Lock()
        self._now_ns = now_ns
        self._monotonic_s = 0.0

    def now_ns(self) -> int:
        """Return the time that was set."""
        with self._lock:
            return self._now_ns

    def monotonic_s(self) -> float:
        """Return the seconds advanced so far."""
        with self._lock:
            return self._monotonic_s

    def advance(self, seconds: float) -> None:
        """Move both clocks forward."""
        with self._lock:
            self._now_ns += round(seconds * 1e9)
            self._monotonic_s += seconds
