import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import InvalidParameter
from engine.model.size import format_size, parse_size


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [
        ("0", 0),
        ("17", 17),
        ("17B", 17),
        (" 64 mb ", 64_000_000),
        ("512MiB", 2**29),
        ("2tib", 2**41),
    ],
)
def test_sizes_have_binary_and_decimal_units(text: str, size_bytes: int) -> None:
    assert parse_size(text) == size_bytes


@pytest.mark.parametrize("text", ["", "MiB", "1.5GiB", "-1", "1_000", "1 2", "٣", "9" * 20])
def test_what_is_no_whole_number_is_no_size(text: str) -> None:
    with pytest.raises(InvalidParameter, match="is not a whole number with a unit, as 512MiB"):
        parse_size(text)


def test_an_unknown_unit_is_answered_with_the_known_ones() -> None:
    with pytest.raises(InvalidParameter, match="size '1M' has an unknown unit; use KiB, MiB"):
        parse_size("1M")


@given(st.integers(0, 2**60))
def test_a_written_size_is_read_again(size_bytes: int) -> None:
    assert parse_size(format_size(size_bytes)) == size_bytes


def test_the_largest_unit_is_taken() -> None:
    texts = [format_size(n) for n in (0, 1000, 1024, 3 * 2**20, 2**30 + 1, 2**50)]

    assert texts == ["0", "1000", "1KiB", "3MiB", "1073741825", "1024TiB"]
