"""When a scheduled trigger fires next.

All times are UTC, so no hour is ever missing or doubled. `every` is aligned to the Unix epoch in
milliseconds. A cron expression is checked and turned into plain numbers by `engine.model.cron`
before croniter sees it: croniter counts weekdays from 0 = Sunday, takes `H` and `R` for random
numbers, wants to be told that the second comes first, and joins day-of-month and day-of-week by OR
unless told otherwise.
Pure; may be called from any thread.
"""

from __future__ import annotations

from bisect import bisect_left
from datetime import UTC, date, datetime, timedelta
from typing import assert_never

from croniter import CroniterBadDateError, croniter

from engine.model.cron import Cron, parse_cron
from engine.model.spec import CronSpec, EverySpec

__all__ = ["count_fires", "latest_fire", "next_fire"]

_DAY_S = 86_400
_SECOND_NS = 1_000_000_000
_MILLISECOND_NS = 1_000_000
# A date can stay away for long (29 February on one weekday, around 2100); years end in 2099.
_SEARCH_YEARS = 130
_FULL_SIZES = (60, 60, 24, 31, 12, 7, 130)


def next_fire(spec: CronSpec | EverySpec, after_ns: int) -> int | None:
    """Return the next time at which a schedule fires, UTC nanoseconds.

    Args:
        spec: a cron expression or a period.
        after_ns: UTC nanoseconds since the epoch; the result is strictly later.

    Returns:
        None when the schedule never fires again.
    """
    match spec:
        case EverySpec(period_ns):
            period_ms = period_ns // _MILLISECOND_NS
            return (after_ns // _MILLISECOND_NS // period_ms + 1) * period_ms * _MILLISECOND_NS
        case CronSpec(expression):
            return _next_cron(expression, after_ns // _SECOND_NS)
        case _:
            assert_never(spec)


def latest_fire(spec: CronSpec | EverySpec, after_ns: int, until_ns: int) -> int | None:
    """Return the last time in (after, until] at which a schedule fires, or None.

    The search halves the span instead of walking the fires, of which there may be millions.
    """
    latest_ns = None
    while (fire_ns := next_fire(spec, after_ns)) is not None and fire_ns <= until_ns:
        latest_ns = after_ns = fire_ns
        step_ns = until_ns - fire_ns
        while step_ns := step_ns // 2:
            later_ns = next_fire(spec, after_ns + step_ns)
            if later_ns is not None and later_ns <= until_ns:
                latest_ns = after_ns = later_ns
    return latest_ns


def count_fires(spec: CronSpec | EverySpec, after_ns: int, until_ns: int) -> int:
    """Return how often a schedule fires in (after, until], in time that grows with days only."""
    if until_ns <= after_ns:
        return 0
    match spec:
        case EverySpec(period_ns):
            period_ms = period_ns // _MILLISECOND_NS
            first, last = (ns // _MILLISECOND_NS // period_ms for ns in (after_ns, until_ns))
            return last - first
        case CronSpec(expression):
            cron = parse_cron(expression)
            return _count_cron(cron, after_ns // _SECOND_NS, until_ns // _SECOND_NS)
        case _:
            assert_never(spec)


def _count_cron(cron: Cron, after_s: int, until_s: int) -> int:
    first, last = (datetime.fromtimestamp(s, UTC).date() for s in (after_s, until_s))
    days = (first + timedelta(n) for n in range((last - first).days + 1))
    total = sum(_fires_on(cron, day) for day in days) * _fires_before(cron, _DAY_S)
    total -= _fires_on(cron, first) * _fires_before(cron, after_s % _DAY_S + 1)
    total -= _fires_on(cron, last) * _fires_from(cron, until_s % _DAY_S + 1)
    return total


def _fires_on(cron: Cron, day: date) -> bool:
    is_in_month = day.day in cron.days and day.month in cron.months and day.year in cron.years
    return is_in_month and day.isoweekday() % 7 + 1 in cron.weekdays


def _fires_from(cron: Cron, second: int) -> int:
    return _fires_before(cron, _DAY_S) - _fires_before(cron, second)


def _fires_before(cron: Cron, second: int) -> int:
    """Return how often a matching day fires before a second of the day."""
    hour, minute, second = second // 3600, second // 60 % 60, second % 60
    hours, minutes = bisect_left(cron.hours, hour), bisect_left(cron.minutes, minute)
    count = hours * len(cron.minutes) * len(cron.seconds)
    if hour in cron.hours:
        count += minutes * len(cron.seconds)
        if minute in cron.minutes:
            count += bisect_left(cron.seconds, second)
    return count


def _next_cron(expression: str, after_s: int) -> int | None:
    times = croniter(
        _croniter_text(parse_cron(expression)),
        float(after_s),
        ret_type=float,
        day_or=False,
        second_at_beginning=True,
        max_years_between_matches=_SEARCH_YEARS,
    )
    try:
        return round(times.get_next(float)) * _SECOND_NS
    except CroniterBadDateError:
        return None


def _croniter_text(cron: Cron) -> str:
    weekdays = tuple(day - 1 for day in cron.weekdays)
    fields = (
        cron.seconds,
        cron.minutes,
        cron.hours,
        cron.days,
        cron.months,
        weekdays,
        cron.years,
    )
    texts = [
        "*" if len(numbers) == size else ",".join(map(str, numbers))
        for numbers, size in zip(fields, _FULL_SIZES, strict=True)
    ]
    return " ".join(texts)
