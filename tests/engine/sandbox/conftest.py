"""Places for a worker: under a server that is root, and under one that is an ordinary user."""

import os
import sys
from collections.abc import Iterator

import pytest

from tests.confined import (
    USER,
    Confined,
    place,
    why_no_ordinary_user,
)

IS_ROOT = os.geteuid() == 0
SYSTEM_PYTHON = "/usr/bin/python3"


@pytest.fixture
def root() -> Iterator[Confined]:
    if not IS_ROOT:
        pytest.skip("the tests do not run as root")
    with place(None, sys.executable) as confined:
        yield confined


@pytest.fixture
def user() -> Iterator[Confined]:
    interpreter = SYSTEM_PYTHON if IS_ROOT else sys.executable
    reason = why_no_ordinary_user(interpreter)
    if reason:
        pytest.skip(reason)
    with place(USER if IS_ROOT else None, interpreter) as confined:
        yield confined


@pytest.fixture(params=["root", "user"])
def anyone(request: pytest.FixtureRequest) -> Confined:
    return request.getfixturevalue(request.param)
