"""The battery: with the full sandbox no attack escapes, but for the exceptions that are named."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.escape.arena import Arena, arena
from tests.escape.attacks.catalog import ATTACKS
from tests.escape.exceptions import EXCEPTIONS
from tests.escape.judging import judge

IS_ROOT = os.getuid() == 0
ORDINARY_UID = 12345
ISOLATION = Path(__file__).parents[2] / "docs" / "explanation" / "isolation.md"
USERS = [
    pytest.param(None, id="as-root" if IS_ROOT else "as-user"),
    *([pytest.param(ORDINARY_UID, id="as-user")] if IS_ROOT else []),
]
SHARED = [name for name, attack in ATTACKS.items() if not attack.needs_server]
ALONE = [name for name, attack in ATTACKS.items() if attack.needs_server]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


@pytest.fixture(scope="module", params=USERS)
def uid(request: pytest.FixtureRequest) -> int | None:
    chosen: int | None = request.param
    return chosen


@pytest.fixture(scope="module")
def ring(uid: int | None) -> Iterator[Arena]:
    with arena("required", uid) as ready:
        yield ready


@pytest.mark.parametrize("name", SHARED)
def test_does_not_escape(ring: Arena, name: str) -> None:
    check(ring, name)


@pytest.mark.parametrize("name", ALONE)
def test_does_not_escape_nor_hurt_its_server(uid: int | None, name: str) -> None:
    with arena("required", uid) as ring:
        check(ring, name)


def check(ring: Arena, name: str) -> None:
    verdict = judge(ring, name)

    assert not verdict.is_broken, verdict.how
    if name in EXCEPTIONS and ring.level() in EXCEPTIONS[name][0]:
        assert verdict.escaped, f"{name} is no exception any more"
    else:
        assert not verdict.escaped, verdict.how


def test_exceptions_are_named_where_users_read_of_them() -> None:
    text = ISOLATION.read_text()

    assert [name for name in EXCEPTIONS if f"`{name}`" not in text] == []
    assert set(EXCEPTIONS) <= set(ATTACKS)


def test_battery_is_large_enough_and_says_what_it_tries() -> None:
    texts = {name: attack.run.__doc__ or "" for name, attack in ATTACKS.items()}

    assert len(ATTACKS) >= 48
    assert [name for name, text in texts.items() if "Try:" not in text or "Safe:" not in text] == []
