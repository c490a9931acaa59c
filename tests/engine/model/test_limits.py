from __future__ import annotations

import pytest

from engine.errors import InvalidParameter
from engine.model.limits import parse_limits, parse_time_limit_s, split_limits


@pytest.mark.parametrize(
    ("value", "expected_s"),
    [("1m 30s", 90.0), ("1d", 86_400.0), ("5ms", 0.005), (2, 2.0), (0.25, 0.25)],
)
def test_a_time_limit_is_a_duration_or_seconds(value: object, expected_s: float) -> None:
    assert parse_time_limit_s(value) == expected_s


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("0", "time limit 0 is not more than 0 and at most 1 day"),
        (-1, "time limit -1 is not more than 0 and at most 1 day"),
        ("25h", "time limit 25h is not more than 0 and at most 1 day"),
        (float("nan"), "time limit nan is not more than 0 and at most 1 day"),
        (10**400, "is not more than 0 and at most 1 day"),
        ("soon", "a number and a time unit expected"),
        (True, "time limit True is neither a duration as 30s nor seconds"),
        ([], r"time limit \[\] is neither a duration as 30s nor seconds"),
    ],
)
def test_other_time_limits_are_refused(value: object, text: str) -> None:
    with pytest.raises(InvalidParameter, match=text):
        parse_time_limit_s(value)


@pytest.mark.parametrize(("limits", "expected_s"), [({}, None), ({"time": "5s"}, 5.0)])
def test_limits_hold_a_time_or_nothing(limits: dict[str, object], expected_s: float | None) -> None:
    assert parse_limits(limits) == expected_s


@pytest.mark.parametrize("name", ["memory", "cpu", "processes", "disk"])
def test_limits_of_later_versions_are_refused_by_name(name: str) -> None:
    with pytest.raises(InvalidParameter, match=f"limit {name} is not in force in this version"):
        parse_limits({"time": "5s", name: "1"})


def test_unknown_limits_are_refused() -> None:
    with pytest.raises(InvalidParameter, match="unknown limit 'tiem'; known is time"):
        parse_limits({"tiem": "5s"})


def test_limits_are_split_at_the_first_equals_sign() -> None:
    assert split_limits(["time=5s", "x=a=b", "time = 6s"]) == {"time": "6s", "x": "a=b"}
    with pytest.raises(InvalidParameter, match="'time' is not of the form NAME=VALUE"):
        split_limits(["time"])
