"""How often something may happen: so many at once, then so many a second.

Pure: the clock comes in as an argument. One thread calls.
"""

from __future__ import annotations

__all__ = ["Pace"]


class Pace:
    """Turns that are used up and come back with time.

    Args:
        burst: turns at the beginning, and the most that gather.
        per_s: turns that come back in a second, > 0.
        now_s: the time of the beginning.
    """

    def __init__(self, burst: int, per_s: float, now_s: float) -> None:
        self._burst = burst
        self._per_s = per_s
        self._left = float(burst)
        self._seen_s = now_s

    def may(self, now_s: float) -> bool:
        """Take a turn if there is one."""
        is_free = self.wait_s(now_s) == 0
        if is_free:
            self._left -= 1
        return is_free

    def wait_s(self, now_s: float) -> float:
        """Return how long it takes until there is a turn, 0 when there is one."""
        gained = (now_s - self._seen_s) * self._per_s
        self._left = min(self._burst, self._left + gained)
        self._seen_s = now_s
        return max(0.0, (1 - self._left) / self._per_s)
