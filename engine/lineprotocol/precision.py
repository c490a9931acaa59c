"""Units of timestamps in line protocol, and their conversion to nanoseconds.

`auto` guesses the unit of each timestamp by its size: below 5e9 seconds, below 5e12 milliseconds,
below 5e15 microseconds, else nanoseconds. Pure; any thread may call it.
"""

from __future__ import annotations

from enum import Enum

import numpy as np
import numpy.typing as npt

from engine.errors import InvalidPrecision

__all__ = ["Precision", "in_range", "parse_precision", "to_ns", "truncated"]

_MAX_INT64 = 2**63 - 1
_AUTO_STEPS = ((5 * 10**15, 10**3), (5 * 10**12, 10**6), (5 * 10**9, 10**9))


class Precision(Enum):
    """The unit of a request's timestamps; the name, capitalised, stands in error messages."""

    AUTO = "auto"
    SECOND = "second"
    MILLISECOND = "millisecond"
    MICROSECOND = "microsecond"
    NANOSECOND = "nanosecond"

    @property
    def unit_ns(self) -> int:
        """Nanoseconds in one unit; 1 for `auto`, which never overflows."""
        return _UNITS_NS[self]


_UNITS_NS = {
    Precision.AUTO: 1,
    Precision.SECOND: 10**9,
    Precision.MILLISECOND: 10**6,
    Precision.MICROSECOND: 10**3,
    Precision.NANOSECOND: 1,
}

_SPELLINGS = {
    "auto": Precision.AUTO,
    "second": Precision.SECOND,
    "s": Precision.SECOND,
    "millisecond": Precision.MILLISECOND,
    "ms": Precision.MILLISECOND,
    "microsecond": Precision.MICROSECOND,
    "us": Precision.MICROSECOND,
    "u": Precision.MICROSECOND,
    "nanosecond": Precision.NANOSECOND,
    "ns": Precision.NANOSECOND,
    "n": Precision.NANOSECOND,
}


def parse_precision(text: str, *, allow_auto: bool) -> Precision:
    """Return the precision that a client names.

    Raises:
        InvalidPrecision: an unknown unit, or `auto` where it is not allowed.
    """
    precision = _SPELLINGS.get(text)
    if precision is None or (precision is Precision.AUTO and not allow_auto):
        units = "second, millisecond, microsecond, nanosecond (or s, ms, us, ns)"
        auto = "auto, " if allow_auto else ""
        raise InvalidPrecision(f"invalid precision '{text}': use one of {auto}{units}")
    return precision


def in_range(timestamp: int, precision: Precision) -> bool:
    """Say whether a timestamp in the unit of a precision fits 64 bits of nanoseconds."""
    return -_MAX_INT64 - 1 <= timestamp * precision.unit_ns <= _MAX_INT64


def truncated(now_ns: int, precision: Precision) -> int:
    """Return the time of a line without a timestamp: now, cut down to whole units."""
    return now_ns - now_ns % precision.unit_ns


def to_ns(timestamps: npt.NDArray[np.int64], precision: Precision) -> npt.NDArray[np.int64]:
    """Return timestamps in nanoseconds; each must be `in_range`."""
    if precision is not Precision.AUTO:
        return timestamps * np.int64(precision.unit_ns)
    factors = np.ones(len(timestamps), np.int64)
    for bound, factor in _AUTO_STEPS:
        factors[(timestamps > -bound) & (timestamps < bound)] = factor
    return timestamps * factors
