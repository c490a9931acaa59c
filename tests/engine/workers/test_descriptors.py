from __future__ import annotations

import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.workers.descriptors import raise_limit, require_room


@pytest.fixture
def limit() -> Iterator[tuple[int, int]]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield before
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_the_limit_is_raised_to_what_is_allowed(limit: tuple[int, int]) -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (512, limit[1]))

    raise_limit()

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert soft == (65_536 if hard == resource.RLIM_INFINITY else min(hard, 65_536))


def test_a_worker_is_refused_when_half_of_a_small_limit_is_in_use(limit: tuple[int, int]) -> None:
    used = sum(1 for _ in Path("/proc/self/fd").iterdir())
    resource.setrlimit(resource.RLIMIT_NOFILE, (used * 2 + 40, limit[1]))
    require_room()
    resource.setrlimit(resource.RLIMIT_NOFILE, (used * 2 - 10, limit[1]))

    with pytest.raises(OSError, match="too many workers for the limit"):
        require_room()
