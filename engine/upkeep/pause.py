"""How long to wait after a failure that may pass, and what to log of it. One thread at a time."""

from __future__ import annotations

import logging

__all__ = ["Pause"]

log = logging.getLogger(__name__)

_FIRST_S = 1.0
_LONGEST_S = 30.0


class Pause:
    """Waits that double from one to thirty seconds, logged when they begin and when they end.

    Args:
        complaint: what does not work, and what that means.
    """

    def __init__(self, complaint: str) -> None:
        self._complaint = complaint
        self._next_s = _FIRST_S

    def failed(self, error: BaseException) -> float:
        """Return how many seconds to wait before the next try."""
        wait_s = self._next_s
        if wait_s == _FIRST_S:
            log.error("%s", self._complaint, extra={"error": str(error)})
        self._next_s = min(_LONGEST_S, 2 * wait_s)
        return wait_s

    def passed(self) -> None:
        """Note a success."""
        if self._next_s != _FIRST_S:
            log.info("the failure has passed: %s", self._complaint)
        self._next_s = _FIRST_S
