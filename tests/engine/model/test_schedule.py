from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.model.cron import parse_cron
from engine.model.schedule import count_fires, latest_fire, next_fire
from engine.model.spec import CronSpec, EverySpec

S = 1_000_000_000
MS = 1_000_000


def _ns(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * S


def _next(expression: str, after: str) -> str | None:
    fire_ns = next_fire(CronSpec(expression), _ns(after))
    if fire_ns is None:
        return None
    return datetime.fromtimestamp(fire_ns // S, UTC).strftime("%Y-%m-%dT%H:%M:%S")


@pytest.mark.parametrize(
    ("expression", "after", "expected"),
    [
        ("0 * * * * *", "2025-01-01T00:00:00", "2025-01-01T00:01:00"),
        ("*/10 * * * * *", "2025-01-01T00:00:05", "2025-01-01T00:00:10"),
        ("30 15 10 * * *", "2025-01-01T10:15:30", "2025-01-02T10:15:30"),
        ("0 0 0 * * 1", "2025-01-01T00:00:00", "2025-01-05T00:00:00"),  # a Sunday
        ("0 0 0 * * 7", "2025-01-01T00:00:00", "2025-01-04T00:00:00"),  # a Saturday
        ("0 0 0 * * mon", "2025-01-01T00:00:00", "2025-01-06T00:00:00"),
        ("0 0 0 13 * fri", "2025-01-01T00:00:00", "2025-06-13T00:00:00"),  # both must match
        ("0 0 0 29 2 *", "2025-01-01T00:00:00", "2028-02-29T00:00:00"),
        ("0 0 0 29 2 sun", "2033-01-01T00:00:00", "2060-02-29T00:00:00"),
        ("0 0 0 31 * *", "2025-01-31T00:00:00", "2025-03-31T00:00:00"),
        ("59 59 23 31 12 * 2099", "2025-01-01T00:00:00", "2099-12-31T23:59:59"),
        ("@weekly", "2025-01-01T00:00:00", "2025-01-05T00:00:00"),
        ("0 30 2 * * *", "2025-03-30T02:00:00", "2025-03-30T02:30:00"),  # no summer time in UTC
    ],
)
def test_cron_fires_at_the_next_matching_time(expression: str, after: str, expected: str) -> None:
    assert _next(expression, after) == expected


@pytest.mark.parametrize(
    "expression",
    ["0 0 0 30 2 *", "0 0 0 31 4,6,9,11 *", "0 0 0 29 2 * 2027", "0 0 0 1 1 * 2020"],
)
def test_cron_that_never_matches_again_has_no_next_time(expression: str) -> None:
    assert _next(expression, "2025-01-01T00:00:00") is None


def test_next_time_is_strictly_later_even_within_a_second() -> None:
    every_second = CronSpec("* * * * * *")

    assert next_fire(every_second, 10 * S) == 11 * S
    assert next_fire(every_second, 10 * S + 1) == 11 * S
    assert next_fire(every_second, 11 * S - 1) == 11 * S


def test_every_is_aligned_to_the_epoch() -> None:
    assert next_fire(EverySpec(60 * S), _ns("2025-01-01T00:00:01")) == _ns("2025-01-01T00:01:00")
    assert next_fire(EverySpec(7 * S), 14 * S) == 21 * S


@given(st.integers(MS, 366 * 86_400 * S), st.integers(0, 4_000_000_000 * S))
def test_every_fires_at_the_first_multiple_that_is_later(period_ns: int, after_ns: int) -> None:
    period_ms = period_ns // MS

    fire_ns = next_fire(EverySpec(period_ns), after_ns)

    assert fire_ns is not None
    assert fire_ns % (period_ms * MS) == 0
    assert after_ns < fire_ns <= after_ns + period_ms * MS


@given(st.integers(1, 60), st.integers(0, 10_000), st.integers(0, 600))
def test_latest_fire_is_the_last_of_all_fires_in_the_span(
    period_s: int, after_s: int, span_s: int
) -> None:
    until_s = after_s + span_s
    fires = [n for n in range(after_s + 1, until_s + 1) if n % period_s == 0]

    expected = fires[-1] * S if fires else None

    assert latest_fire(EverySpec(period_s * S), after_s * S, until_s * S) == expected


@pytest.mark.parametrize(
    ("expression", "expected"),
    [("0 0 0 1 * *", "2025-06-01T00:00:00"), ("0 0 0 1 1 * 2020,2030", None)],
)
def test_latest_fire_of_cron_skips_what_was_missed_before(
    expression: str, expected: str | None
) -> None:
    after_ns, until_ns = _ns("2021-01-15T00:00:00"), _ns("2025-06-30T00:00:00")

    latest_ns = latest_fire(CronSpec(expression), after_ns, until_ns)

    assert latest_ns == (None if expected is None else _ns(expected))


@pytest.mark.parametrize(
    ("expression", "after", "until", "expected"),
    [
        ("* * * * * *", "2021-01-01T00:00:00", "2025-01-01T00:00:00", 1461 * 86_400),
        ("0 0 12 * * mon", "2025-06-02T12:00:00", "2025-06-16T12:00:00", 2),
        ("0 0 12 * * mon", "2025-06-02T11:59:59", "2025-06-16T11:59:59", 2),
        ("0 0 0 29 2 *", "2000-01-01T00:00:00", "2099-01-01T00:00:00", 25),
        ("0 0 0 1 1 * 2020", "2021-01-01T00:00:00", "2099-01-01T00:00:00", 0),
        ("* * * * * *", "2025-01-01T00:00:10", "2025-01-01T00:00:00", 0),
    ],
)
def test_fires_of_a_span_are_counted(
    expression: str, after: str, until: str, expected: int
) -> None:
    assert count_fires(CronSpec(expression), _ns(after), _ns(until)) == expected


def _walk(spec: CronSpec | EverySpec, after_ns: int, until_ns: int) -> int:
    count = 0
    while (fire_ns := next_fire(spec, after_ns)) is not None and fire_ns <= until_ns:
        after_ns, count = fire_ns, count + 1
    return count


@given(
    st.sampled_from(["*/20 */7 * * * *", "5,50 59,0 23,0 * * *", "30 15 */6 2-4 * *"]),
    st.integers(0, 10 * 86_400 * S),
    st.integers(-S, 86_400 * S // 2),
)
def test_counting_agrees_with_walking_from_fire_to_fire(
    expression: str, after_ns: int, span_ns: int
) -> None:
    spec = CronSpec(expression)

    assert count_fires(spec, after_ns, after_ns + span_ns) == _walk(
        spec, after_ns, after_ns + span_ns
    )


@given(st.integers(1, 10_000), st.integers(0, 10**12), st.integers(0, 10**10))
def test_counting_a_period_agrees_with_walking(period_ms: int, after_ns: int, span_ns: int) -> None:
    spec = EverySpec(max(period_ms, 100) * MS)

    assert count_fires(spec, after_ns, after_ns + span_ns) == _walk(
        spec, after_ns, after_ns + span_ns
    )


_POINTS = {
    "second": st.integers(0, 59),
    "minute": st.integers(0, 59),
    "hour": st.integers(0, 23),
    "day": st.integers(1, 31),
    "month": st.integers(1, 12),
    "weekday": st.integers(1, 7),
}


@st.composite
def _field(draw: st.DrawFn, name: str) -> str:
    def item() -> str:
        first, last = sorted((draw(_POINTS[name]), draw(_POINTS[name])))
        step = draw(st.integers(1, 9))
        forms = ("*", f"{first}", f"{first}-{last}", f"*/{step}", f"{first}-{last}/{step}")
        return draw(st.sampled_from((*forms, f"{first}/{step}")))

    return ",".join(item() for _ in range(draw(st.integers(1, 2))))


def _matches_day(expression: str, day: datetime) -> bool:
    cron = parse_cron(expression)
    return (
        day.day in cron.days
        and day.month in cron.months
        and day.isoweekday() % 7 + 1 in cron.weekdays
    )


def _first_match_by_brute_force(
    expression: str, after: datetime, limit: timedelta
) -> datetime | None:
    cron = parse_cron(expression)
    time = after
    while time < after + limit:
        time += timedelta(seconds=1)
        of_day = (
            time.second in cron.seconds and time.minute in cron.minutes and time.hour in cron.hours
        )
        if of_day and _matches_day(expression, time):
            return time
    return None


def _fire(expression: str, after: datetime) -> datetime | None:
    fire_ns = next_fire(CronSpec(expression), int(after.timestamp()) * S)
    return None if fire_ns is None else datetime.fromtimestamp(fire_ns // S, UTC)


_TIMES = st.datetimes(datetime(2000, 1, 1), datetime(2060, 1, 1), timezones=st.just(UTC)).map(  # noqa: DTZ001 - hypothesis adds the zone
    lambda time: time.replace(microsecond=0)
)


@given(_field("second"), _field("minute"), _field("hour"), _TIMES)
def test_times_of_day_agree_with_a_search_second_by_second(
    second: str, minute: str, hour: str, after: datetime
) -> None:
    expression = f"{second} {minute} {hour} * * *"
    limit = timedelta(minutes=20)

    expected = _first_match_by_brute_force(expression, after, limit)

    fire = _fire(expression, after)
    assert fire is not None
    assert (fire if fire <= after + limit else None) == expected


@given(_field("day"), _field("month"), _field("weekday"), _TIMES)
def test_dates_agree_with_a_search_day_by_day(
    day: str, month: str, weekday: str, after: datetime
) -> None:
    expression = f"0 0 0 {day} {month} {weekday}"
    midnight = after.replace(hour=0, minute=0, second=0)
    days = [midnight + timedelta(days=n) for n in range(1, 500)]

    expected = next((date for date in days if _matches_day(expression, date)), None)

    fire = _fire(expression, after)
    assert (fire if fire is not None and fire <= days[-1] else None) == expected
