import numpy as np
import pytest
from hypothesis import given

from engine.errors import InvalidPrecision
from engine.lineprotocol.precision import (
    Precision,
    in_range,
    parse_precision,
    to_ns,
    truncated,
)
from tests.strategies import int64s


@pytest.mark.parametrize(
    ("text", "precision"),
    [
        ("auto", Precision.AUTO),
        ("s", Precision.SECOND),
        ("second", Precision.SECOND),
        ("ms", Precision.MILLISECOND),
        ("us", Precision.MICROSECOND),
        ("u", Precision.MICROSECOND),
        ("n", Precision.NANOSECOND),
        ("nanosecond", Precision.NANOSECOND),
    ],
)
def test_accepted_spellings(text: str, precision: Precision) -> None:
    assert parse_precision(text, allow_auto=True) is precision


@pytest.mark.parametrize("text", ["h", "m", "", "S", "minutes"])
def test_other_units_are_refused(text: str) -> None:
    with pytest.raises(InvalidPrecision, match=f"invalid precision '{text}'"):
        parse_precision(text, allow_auto=True)


def test_auto_is_refused_where_it_is_not_allowed() -> None:
    with pytest.raises(InvalidPrecision):
        parse_precision("auto", allow_auto=False)


@pytest.mark.parametrize(
    ("timestamp", "factor"),
    [
        (2, 10**9),
        (4_999_999_999, 10**9),
        (-4_999_999_999, 10**9),
        (5_000_000_000, 10**6),
        (4_999_999_999_999, 10**6),
        (5_000_000_000_000, 10**3),
        (4_999_999_999_999_999, 10**3),
        (-4_999_999_999_999_999, 10**3),
        (5_000_000_000_000_000, 1),
        (-(2**63), 1),
        (2**63 - 1, 1),
    ],
)
def test_auto_guesses_the_unit_by_size(timestamp: int, factor: int) -> None:
    assert to_ns(np.array([timestamp]), Precision.AUTO).tolist() == [timestamp * factor]


def test_each_timestamp_is_guessed_on_its_own() -> None:
    times = to_ns(np.array([1, 5 * 10**9]), Precision.AUTO)

    assert times.tolist() == [10**9, 5 * 10**15]


@given(int64s)
def test_in_range_means_that_the_product_fits(timestamp: int) -> None:
    for precision in Precision:
        fits = -(2**63) <= timestamp * precision.unit_ns < 2**63
        assert in_range(timestamp, precision) is fits
        if fits and precision is not Precision.AUTO:
            assert to_ns(np.array([timestamp]), precision)[0] == timestamp * precision.unit_ns


def test_now_is_cut_down_to_the_unit_but_not_for_auto() -> None:
    now = 1_700_000_000_123_456_789

    assert truncated(now, Precision.SECOND) == 1_700_000_000_000_000_000
    assert truncated(now, Precision.MILLISECOND) == 1_700_000_000_123_000_000
    assert truncated(now, Precision.AUTO) == now
