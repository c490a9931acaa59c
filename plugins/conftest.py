"""What the tests of plugins share: the plugin beside the test, and a scene to run it in."""

import importlib
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from worker.testing import FakeLocal, Scene


@pytest.fixture
def scene():
    """Return what plays the engine; it answers queries and keeps what a plugin does."""
    return Scene()


@pytest.fixture
def local(scene):
    """Return an `influxdb3_local` in the scene."""
    return FakeLocal(scene)


@pytest.fixture
def plugin(request):
    """Load the plugin beside the test: a single file in fresh globals, a folder as a package."""
    folder = Path(request.path).parent
    single = folder / f"{folder.name}.py"
    if single.is_file():
        names = {}
        exec(compile(single.read_text(), "<string>", "exec"), names)  # noqa: S102 - our own file
        return SimpleNamespace(**names)
    sys.path.insert(0, str(folder.parent))
    try:
        return importlib.import_module(folder.name)
    finally:
        sys.path.remove(str(folder.parent))
