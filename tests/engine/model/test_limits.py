from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import InvalidParameter
from engine.model.limits import Limits, check_ceilings, limit_texts, parse_limits, split_limits

MIB = 2**20
ALL = Limits(memory_bytes=512 * MIB, cpu=0.5, processes=64, disk_bytes=256 * MIB, time_s=300.0)

some_limits = st.builds(
    Limits,
    memory_bytes=st.none() | st.integers(64 * MIB, 2**46),
    cpu=st.none() | st.floats(0.05, 1024),
    processes=st.none() | st.integers(3, 32_768),
    disk_bytes=st.none() | st.integers(MIB, 2**46),
    time_s=st.none() | st.integers(1, 86_400_000).map(lambda ms: ms / 1000),
)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, Limits()),
        ({"memory": None, "time": None}, Limits()),
        ({"memory": "512MiB"}, Limits(memory_bytes=512 * MIB)),
        ({"memory": "1 GiB", "disk": "64MB"}, Limits(memory_bytes=2**30, disk_bytes=64_000_000)),
        ({"memory": 67_108_864, "disk": "1048576"}, Limits(64 * MIB, disk_bytes=MIB)),
        ({"cpu": "0.5"}, Limits(cpu=0.5)),
        ({"cpu": "50%"}, Limits(cpu=0.5)),
        ({"cpu": 2}, Limits(cpu=2.0)),
        ({"processes": "8"}, Limits(processes=8)),
        ({"processes": 3}, Limits(processes=3)),
        ({"time": "1m 30s"}, Limits(time_s=90.0)),
        ({"time": "1d"}, Limits(time_s=86_400.0)),
        ({"time": 0.25}, Limits(time_s=0.25)),
    ],
)
def test_limits_are_texts_or_numbers(given: dict[str, object], expected: Limits) -> None:
    assert parse_limits(given) == expected


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"memory": "1MiB"}, "limit memory=1MiB is not at least 64MiB and at most 64TiB"),
        ({"memory": 10**30}, "is not at least 64MiB and at most 64TiB"),
        ({"memory": 1e9}, "limit memory=1000000000.0 is neither a size as 512MiB nor a whole"),
        ({"memory": True}, "limit memory=True is neither a size as 512MiB nor a whole number"),
        ({"memory": "much"}, "size 'much' is not a whole number with a unit"),
        ({"disk": 0}, "limit disk=0 is not at least 1MiB and at most 64TiB"),
        ({"cpu": "half"}, "limit cpu='half' is neither cores as 0.5 nor a share of one as 50%"),
        ({"cpu": True}, "limit cpu=True is neither cores"),
        ({"cpu": 0}, "limit cpu=0 is not at least 0.05 and at most 1024 cores"),
        ({"cpu": float("nan")}, "limit cpu=nan is not at least"),
        ({"cpu": 10**400}, "is not at least 0.05 and at most 1024 cores"),
        ({"processes": 2}, "limit processes=2 is not at least 3 and at most 32768; the worker"),
        ({"processes": 1.5}, "limit processes=1.5 is not a whole number"),
        ({"processes": True}, "limit processes=True is not a whole number"),
        ({"processes": "-3"}, "limit processes='-3' is not a whole number"),
        ({"time": "0"}, "limit time=0 is not at least 1ms and at most 1 day"),
        ({"time": -1}, "limit time=-1 is not at least 1ms"),
        ({"time": "25h"}, "limit time=25h is not at least 1ms and at most 1 day"),
        ({"time": float("nan")}, "limit time=nan is not at least 1ms"),
        ({"time": 10**400}, "is not at least 1ms and at most 1 day"),
        ({"time": "soon"}, "a number and a time unit expected"),
        ({"time": True}, "limit time=True is neither a duration as 30s nor a number of seconds"),
        ({"time": []}, "limit time=[] is neither a duration as 30s nor a number of seconds"),
        ({"tiem": "5s"}, "unknown limit 'tiem'; known are memory, cpu, processes, disk, time"),
    ],
)
def test_other_limits_are_refused(given: dict[str, object], text: str) -> None:
    with pytest.raises(InvalidParameter) as caught:
        parse_limits(given)

    assert text in str(caught.value)


@given(some_limits)
def test_written_limits_are_read_again(limits: Limits) -> None:
    assert parse_limits(split_limits(limit_texts(limits))) == limits


def test_limits_are_written_as_users_write_them() -> None:
    assert limit_texts(ALL) == [
        "memory=512MiB",
        "cpu=0.5",
        "processes=64",
        "disk=256MiB",
        "time=5m",
    ]
    assert limit_texts(Limits(cpu=2.0, time_s=90.0)) == ["cpu=2", "time=1m30s"]


@given(some_limits, some_limits)
def test_what_is_said_wins_over_defaults(own: Limits, defaults: Limits) -> None:
    both = own.over(defaults)

    assert both.over(Limits()) == both
    assert set(limit_texts(own)) <= set(limit_texts(both))
    assert Limits().over(defaults) == defaults


@given(some_limits, some_limits)
def test_nothing_capped_is_above_its_ceiling(own: Limits, ceilings: Limits) -> None:
    capped = own.capped(ceilings)

    check_ceilings(capped, ceilings)
    assert capped.capped(ceilings) == capped
    assert own.capped(Limits()) == own


def test_a_limit_above_its_ceiling_is_refused_with_both() -> None:
    ceilings = Limits(memory_bytes=2**30, processes=64)

    check_ceilings(ALL, ceilings)
    check_ceilings(Limits(), ceilings)
    with pytest.raises(
        InvalidParameter, match="limit memory=2GiB is above this server's ceiling of 1GiB"
    ):
        check_ceilings(Limits(memory_bytes=2**31), ceilings)


def test_limits_are_split_at_the_first_equals_sign() -> None:
    assert split_limits(["time=5s", "x=a=b", "time = 6s"]) == {"time": "6s", "x": "a=b"}
    with pytest.raises(InvalidParameter, match="'time' is not of the form NAME=VALUE"):
        split_limits(["time"])
