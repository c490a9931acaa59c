import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import InvalidParameter
from engine.model.duration import YEAR_NS, format_duration, parse_duration_ns

S = 1_000_000_000


@pytest.mark.parametrize(
    ("text", "expected_ns"),
    [
        ("10s", 10 * S),
        ("1m 30s", 90 * S),
        ("1h30m", 5400 * S),
        ("1 hour 30 min", 5400 * S),
        ("2 weeks", 14 * 86_400 * S),
        ("1M", 2_630_016 * S),
        ("1y", YEAR_NS),
        ("5ns 6us 7ms", 7_006_005),
        ("3µs", 3_000),
        ("  30d ", 30 * 86_400 * S),
        ("0", 0),
        ("720h0m0s", 720 * 3600 * S),
    ],
)
def test_durations_are_read_as_humantime_does(text: str, expected_ns: int) -> None:
    assert parse_duration_ns(text) == expected_ns


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "duration is empty"),
        ("   ", "duration is empty"),
        ("10", "time unit needed after 10"),
        ("1h 30", "time unit needed after 30"),
        ("-5s", "expected at character 0"),
        ("1.5h", "expected at character 0"),
        ("5 S", "unknown time unit 'S'"),
        ("s", "expected at character 0"),
        ("1h,2m", "expected at character 2"),
        ("99999999999999999999y", "is too long"),
        ("9" * 5000 + "s", "is too long"),
    ],
)
def test_texts_that_are_no_durations_are_refused(text: str, message: str) -> None:
    with pytest.raises(InvalidParameter, match=message):
        parse_duration_ns(text)


@pytest.mark.parametrize(
    ("duration_ns", "expected"),
    [
        (0, "0s"),
        (60 * S, "1m"),
        (90 * S, "1m 30s"),
        (86_400 * S, "1day"),
        (2 * 86_400 * S + S, "2days 1s"),
        (YEAR_NS + 2 * 2_630_016 * S, "1year 2months"),
        (12_345_678, "12ms 345us 678ns"),
    ],
)
def test_durations_are_written_as_humantime_does(duration_ns: int, expected: str) -> None:
    assert format_duration(duration_ns) == expected


@given(st.integers(0, 1000 * YEAR_NS))
def test_written_durations_read_back(duration_ns: int) -> None:
    assert parse_duration_ns(format_duration(duration_ns)) == duration_ns


@given(st.text(alphabet="0123456789smhdMy .-x", max_size=12))
def test_any_text_is_a_duration_or_refused(text: str) -> None:
    try:
        duration_ns = parse_duration_ns(text)
    except InvalidParameter:
        duration_ns = 0

    assert duration_ns >= 0
