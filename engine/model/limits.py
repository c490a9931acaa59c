"""Limits of a trigger's runs: which there are, and how users write them.

So far only `time` is in force. The names of the others are known, so that whoever sets one learns
that it would do nothing instead of trusting in it.
Pure; may be called from any thread.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from engine.errors import InvalidParameter
from engine.model.duration import parse_duration_ns

__all__ = ["parse_limits", "parse_time_limit_s", "split_limits"]

_NOT_IN_FORCE = ("memory", "cpu", "processes", "disk")
_DAY_S = 86_400.0
_SECOND_NS = 1_000_000_000


def parse_limits(limits: Mapping[str, object]) -> float | None:
    """Return the time limit in seconds of a set of limits, None when it has none.

    Raises:
        InvalidParameter: a limit is not in force or unknown, or its value is wrong.
    """
    for name in limits:
        if name in _NOT_IN_FORCE:
            raise InvalidParameter(
                f"limit {name} is not in force in this version: the server would accept it and "
                "not keep it; leave it out"
            )
        if name != "time":
            raise InvalidParameter(f"unknown limit {name!r}; known is time")
    return None if limits.get("time") is None else parse_time_limit_s(limits["time"])


def split_limits(texts: Iterable[str]) -> dict[str, str]:
    """Return limits that are written as `NAME=VALUE`; of repeated names the last counts.

    Raises:
        InvalidParameter: one is written differently.
    """
    limits: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise InvalidParameter(f"{text!r} is not of the form NAME=VALUE, as time=30s")
        limits[name.strip()] = value.strip()
    return limits


def parse_time_limit_s(value: object) -> float:
    """Return the seconds of a time limit, which is a duration as text or a number of seconds.

    Raises:
        InvalidParameter: it is neither, or not more than 0 and at most a day.
    """
    limit_s = _seconds(value)
    if not 0 < limit_s <= _DAY_S:
        raise InvalidParameter(f"time limit {value} is not more than 0 and at most 1 day")
    return float(limit_s)


def _seconds(value: object) -> float:
    match value:
        case str(text):
            return parse_duration_ns(text) / _SECOND_NS
        case bool():
            pass
        case int() | float():
            return value
    raise InvalidParameter(f"time limit {value!r} is neither a duration as 30s nor seconds")
