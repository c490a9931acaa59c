from __future__ import annotations

import pytest

from engine.cli import checks


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
