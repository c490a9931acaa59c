"""A worker's process: its end, and what it leaves behind."""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.workers.process import WorkerProcess
from tests.unconfined import unconfined

PRINT_ON_OUTSIDE_THE_GROUP = """\
import os, time
if os.fork() == 0:
    os.setsid()
    open("child", "w").write(str(os.getpid()))
    while True:
        os.write(1, b"x\\n" * 25_000)
while not os.path.exists("child"):
    time.sleep(0.01)
"""


def start(folder: Path, code: str) -> WorkerProcess:
    (folder / "__main__.py").write_text(code)
    return WorkerProcess(unconfined(folder), "test")


@pytest.fixture
def many_descriptors() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 1200:
        pytest.skip("this machine allows too few descriptors")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 1200), hard))
    taken = [os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC) for _ in range(1100)]
    yield
    for descriptor in taken:
        os.close(descriptor)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_child_that_left_the_group_and_prints_on_does_not_hold_up_the_end(
    tmp_path: Path,
) -> None:
    process = start(tmp_path, PRINT_ON_OUTSIDE_THE_GROUP)
    assert process.has_ended(10.0)

    process.end()
    process.close()

    os.kill(int((tmp_path / "child").read_text()), signal.SIGKILL)
    assert process.ending() == "exited with status 0"


def test_a_process_whose_descriptors_have_high_numbers_is_driven_like_any_other(
    tmp_path: Path, many_descriptors: None
) -> None:
    process = start(tmp_path, "print('bye')")

    assert process.has_ended(10.0)
    process.end()
    process.close()

    assert process.last_words() == "bye"
