import pytest

from worker.invocation import format_elapsed


@pytest.mark.parametrize(
    ("elapsed_s", "text"),
    [
        (0, "0s"),
        (0.012345678, "12ms 345us 678ns"),
        (1.5, "1s 500ms"),
        (3661.000000001, "1h 1m 1s 1ns"),
    ],
)
def test_durations_are_written_as_core_does(elapsed_s: float, text: str) -> None:
    assert format_elapsed(elapsed_s) == text
