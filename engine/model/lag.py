"""How far a trigger is behind the log, and what it does about it.

    keep     every row in order, in events of bounded size
    newest   when more waits than one event may hold, go on with the newest rows that fit
    merge    when it lags, an event may hold several times the usual, to catch up in fewer runs

Pure; may be called from any thread.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from engine.errors import InvalidParameter

__all__ = ["MERGE_FACTOR", "Lag", "OnLag", "parse_on_lag"]

MERGE_FACTOR = 8  # as dicts in the worker such an event takes about 400 MB


class OnLag(Enum):
    """What becomes of rows that a trigger is too slow for."""

    KEEP = "keep"
    NEWEST = "newest"
    MERGE = "merge"


@dataclass(frozen=True, slots=True)
class Lag:
    """How far a trigger is behind.

    Args:
        events: log entries with rows of its tables that are not done.
        rows: in these.
        oldest_ns: when the oldest of them was committed, UTC nanoseconds; None when there is none.
        skipped_rows: passed over since the server started, because of `newest`.
        gap_rows: lost to it since then, because the log ran out of room.
    """

    events: int
    rows: int
    oldest_ns: int | None
    skipped_rows: int = 0
    gap_rows: int = 0


def parse_on_lag(text: str) -> OnLag:
    """Return what to do about lag from its name in any case.

    Raises:
        InvalidParameter: no such behaviour.
    """
    try:
        return OnLag(text.strip().lower())
    except ValueError:
        raise InvalidParameter(f"unknown on-lag {text!r}; use keep, newest or merge") from None
