from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.world import World, copied, prepare


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A world that died in the middle of its work; tests copy it."""
    return prepare(tmp_path_factory.mktemp("prepared"))


@pytest.fixture
def world(prepared: World, tmp_path: Path) -> World:
    """A copy of the prepared world."""
    return copied(prepared, tmp_path)
