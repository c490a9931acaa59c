from __future__ import annotations

import errno
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine import faultpoint
from tests.persisting import Site


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


@pytest.fixture
def failing() -> Iterator[list[str]]:
    """Places at which the disk fails from now on."""
    places: list[str] = []

    def fail(place: str) -> None:
        if place in places:
            raise OSError(errno.ENOSPC, "No space left on device")

    faultpoint.arm(fail)
    yield places
    faultpoint.arm(lambda _place: None)


@pytest.fixture
def dying() -> Iterator[list[str]]:
    """Places that are not survived, as by a kill."""
    places: list[str] = []

    def die(place: str) -> None:
        if place in places:
            raise SystemExit(place)

    faultpoint.arm(die)
    yield places
    faultpoint.arm(lambda _place: None)
