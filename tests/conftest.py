"""Settings and fixtures for all tests."""

from pathlib import Path

import pytest
from hypothesis import settings

# The machines that run this are small and shared: few examples, and no example is too slow.
settings.register_profile("quick", max_examples=100, deadline=None)
settings.load_profile("quick")


@pytest.fixture(scope="session")
def package_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache that the servers of all tests share, so that each package is fetched once."""
    base = tmp_path_factory.getbasetemp()
    return (base.parent if base.name.startswith("popen-") else base) / "installers-cache"
