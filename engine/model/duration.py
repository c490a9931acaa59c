"""Durations as users write them: `1h 30m`, `10sec`, `2 weeks`.

The grammar is that of the Rust crate humantime: integers, each followed by a unit, with optional
spaces; units are case-sensitive (`m` is a minute, `M` a month of 30.44 days, a year has 365.25
days). There is no sign and no bare number, except a lone `0`.
Pure; may be called from any thread.
"""

from __future__ import annotations

import re

from engine.errors import InvalidParameter

__all__ = ["YEAR_NS", "format_duration", "parse_duration_ns"]

_SECOND_NS = 1_000_000_000
_DAY_S = 86_400
_MONTH_S = 2_630_016
_YEAR_S = 31_557_600
YEAR_NS = _YEAR_S * _SECOND_NS
_MAX_NS = (2**64 - 1) * _SECOND_NS

_SPELLINGS = {
    1: "nanos nsec ns",
    1_000: "micros usec us µs",
    1_000_000: "millis msec ms",
    _SECOND_NS: "seconds second secs sec s",
    60 * _SECOND_NS: "minutes minute mins min m",
    3_600 * _SECOND_NS: "hours hour hrs hr h",
    _DAY_S * _SECOND_NS: "days day d",
    7 * _DAY_S * _SECOND_NS: "weeks week wks wk w",
    _MONTH_S * _SECOND_NS: "months month M",
    YEAR_NS: "years year yrs yr y",
}
_UNITS = {unit: size for size, units in _SPELLINGS.items() for unit in units.split()}
_PART = re.compile(r"\s*([0-9][0-9\s]*?)\s*([^\W\d_]+)\s*")


def parse_duration_ns(text: str) -> int:
    """Return the nanoseconds of a duration such as `1h 30m`.

    Raises:
        InvalidParameter: the text is no duration; the message says where it fails.
    Source: the Rust crate humantime, `parse_duration`.
    """
    if text.strip() == "0":
        return 0
    if not text.strip():
        raise InvalidParameter("duration is empty; write for example 10s or 1h 30m")
    total_ns = 0
    at = 0
    while at < len(text):
        match = _PART.match(text, at)
        if match is None:
            raise InvalidParameter(_complaint(text, at))
        total_ns += int("".join(match[1].split())[:40]) * _unit_ns(match[2])
        at = match.end()
    if total_ns > _MAX_NS:
        raise InvalidParameter(f"duration {text.strip()} is too long")
    return total_ns


def format_duration(duration_ns: int) -> str:
    """Write a duration of at least 0 ns as humantime does: `1day 2h`, `1m 30s`, `0s`.

    Source: the Rust crate humantime, `format_duration`.
    """
    if duration_ns == 0:
        return "0s"
    seconds, nanos = divmod(duration_ns, _SECOND_NS)
    years, seconds = divmod(seconds, _YEAR_S)
    months, seconds = divmod(seconds, _MONTH_S)
    days, seconds = divmod(seconds, _DAY_S)
    long = ((years, "year"), (months, "month"), (days, "day"))
    short = (
        (seconds // 3600, "h"),
        (seconds // 60 % 60, "m"),
        (seconds % 60, "s"),
        (nanos // 1_000_000, "ms"),
        (nanos // 1_000 % 1_000, "us"),
        (nanos % 1_000, "ns"),
    )
    words = [f"{n}{unit}{'s' if n > 1 else ''}" for n, unit in long if n]
    return " ".join([*words, *(f"{n}{unit}" for n, unit in short if n)])


def _unit_ns(unit: str) -> int:
    if unit not in _UNITS:
        raise InvalidParameter(
            f"unknown time unit {unit!r}; use ns, us, ms, s, m, h, d, w, M (months) or y"
        )
    return _UNITS[unit]


def _complaint(text: str, at: int) -> str:
    rest = text[at:].strip()
    if rest.isdigit():
        return f"time unit needed after {rest}, for example {rest}s or {rest}ms"
    return f"a number and a time unit expected at character {at}, found {rest[:20]!r}"
