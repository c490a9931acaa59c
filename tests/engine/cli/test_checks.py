from __future__ import annotations

import pytest

from engine.cli import checks
from engine.cli.failures import BadValue


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, None),
        ("wal", "wal"),
        ("WAL_FLUSH, wal", "wal"),
        ("request,schedule", "request,schedule"),
    ],
)
def test_kinds_of_triggers_are_given_their_own_names(
    text: str | None, expected: str | None
) -> None:
    assert checks.kinds(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"), [("1", 1), ("32MiB", 2**25), ("3 gb", 3 * 10**9), ("2KiB", 2048)]
)
def test_sizes_have_units(text: str, expected: int) -> None:
    assert checks.byte_count(text, "--persist-bytes") == expected


@pytest.mark.parametrize("text", ["0", "-1", "1.5GB", "many", "1PB"])
def test_what_is_no_size_is_refused_with_its_option(text: str) -> None:
    with pytest.raises(BadValue, match="for '--persist-bytes <SIZE>': expected a size"):
        checks.size("--persist-bytes")(text)


def test_durations_are_seconds_and_longer_than_0_where_they_must_be() -> None:
    assert checks.duration_s("1m 30s", "--persist-age") == 90.0
    assert checks.duration_s("0s", "--hard-delete-default-duration", may_be_0=True) == 0.0
    with pytest.raises(BadValue, match="for '--persist-age <DURATION>': must be longer than 0"):
        checks.duration("--persist-age")("0s")
    with pytest.raises(BadValue, match="for '--persist-age <DURATION>': time unit needed"):
        checks.duration("--persist-age")("5")


def test_options_that_are_not_given_are_not_checked() -> None:
    assert checks.size("--persist-bytes")(None) is None
    assert checks.duration("--persist-age")(None) is None
