"""How long to wait before the next attempt."""

from __future__ import annotations

__all__ = ["STABLE_AFTER_S", "delay_s"]

_FIRST_S = 0.1
_LONGEST_S = 30.0
_JITTER = 0.25

STABLE_AFTER_S = 60.0
"""A worker that has lived this long starts its next life without a delay."""


def delay_s(attempt: int, chance: float) -> float:
    """Return the pause before an attempt: none, then doubling from 0.1 s to 30 s.

    Args:
        attempt: how many attempts have failed in a row; 1 means the next is the first repeat.
        chance: a random number in [0, 1) that spreads pauses by up to a quarter, so that triggers
            that failed together do not come back together.
    """
    if attempt <= 1:
        return 0.0
    pause_s = min(_FIRST_S * 2.0 ** min(attempt - 2, 32), _LONGEST_S)
    return pause_s * (1 - _JITTER * chance)
