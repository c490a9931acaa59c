"""Ranges of time, both ends included. Pure; any thread."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["TimeRange"]

_MIN, _MAX = -(2**63), 2**63 - 1


@dataclass(frozen=True, slots=True)
class TimeRange:
    """Times from `low_ns` to `high_ns`, both included; none when the first is the larger."""

    low_ns: int = _MIN
    high_ns: int = _MAX

    @property
    def is_bounded(self) -> bool:
        """Whether anything lies outside."""
        return self.low_ns > _MIN or self.high_ns < _MAX

    @property
    def is_possible(self) -> bool:
        """Whether any time lies inside."""
        return self.low_ns <= self.high_ns

    def __and__(self, other: TimeRange) -> TimeRange:
        return TimeRange(max(self.low_ns, other.low_ns), min(self.high_ns, other.high_ns))

    def hull(self, other: TimeRange) -> TimeRange:
        """Return the smallest range that holds both."""
        return TimeRange(min(self.low_ns, other.low_ns), max(self.high_ns, other.high_ns))
