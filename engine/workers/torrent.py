"""How many lines a plugin may give to the logs: more are dropped, and it is told how many.

So many at once, then so many a second; each 1,024 characters of a long line count like another
line. Any thread may call; `_lock` guards all fields.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

__all__ = ["Torrent"]

_BURST_LINES = 10_000
_LINES_PER_S = 1_000
_CHARACTERS_OF_A_LINE = 1024


class Torrent:
    """The lines of one trigger.

    Args:
        now_s: a clock that is never set back.
    """

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        self._now_s = now_s
        self._lock = threading.Lock()
        self._left = float(_BURST_LINES)
        self._seen_s = now_s()
        self._dropped = 0

    def __repr__(self) -> str:
        """Describe the torrent in a sentence."""
        return f"<Torrent: room for {self._left:.0f} lines, {self._dropped} dropped>"

    def admit(self, characters: int) -> bool:
        """Return whether there is room for a line; one for which there is none is counted."""
        cost = 1 + characters // _CHARACTERS_OF_A_LINE
        with self._lock:
            now_s = self._now_s()
            self._left += (now_s - self._seen_s) * _LINES_PER_S
            self._left = min(self._left, float(_BURST_LINES))
            self._seen_s = now_s
            if self._left < cost:
                self._dropped += 1
                return False
            self._left -= cost
            return True

    def take_dropped(self) -> str:
        """Say how many lines were dropped since the last call, or nothing."""
        if not self._dropped:  # mostly, and then without the lock
            return ""
        with self._lock:
            dropped, self._dropped = self._dropped, 0
        lines = "1 line was" if dropped == 1 else f"{dropped} lines were"
        return f"{lines} dropped: more than {_LINES_PER_S} a second"
