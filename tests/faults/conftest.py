from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.world import World, copied, prepare


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A world that died in the middle of its work; tests copy it."""
    return prepare(tmp_path_factory.mktemp("prepared"))


@pytest.fixture
def world(prepared: World, tmp_path: Path) -> Iterator[World]:
    """A copy of the prepared world; its server ends with the test."""
    world = copied(prepared, tmp_path)
    yield world
    if world.status() is None:
        world.server.kill()
