"""The end of programs that take too much; those that are confined are in test_enclosed.py."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.environments.child import Patience, Room, run_enclosed
from engine.environments.running import ignore
from engine.sandbox.enclose import Enclosed

SLEEPS = "import time; time.sleep(100)"


@pytest.fixture
def stopped() -> Iterator[int]:
    descriptor = os.eventfd(0)
    yield descriptor
    os.close(descriptor)


def started(code: str, output: int) -> Enclosed:
    command = [sys.executable, "-c", code]
    popen = subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True)
    return Enclosed(popen, has_namespaces=False, group=None, outlet=None)


def test_program_that_fills_the_disk_is_ended(stopped: int, tmp_path: Path) -> None:
    everything = Room(str(tmp_path), 1 << 60)

    ending = run_enclosed(
        lambda output: started(SLEEPS, output), Patience(60, stopped, (everything,)), ignore
    )

    assert ending.excess == f"fills the disk: less than {1 << 40} MiB are free for {tmp_path}"


def test_program_that_leaves_room_is_not(stopped: int, tmp_path: Path) -> None:
    ending = run_enclosed(
        lambda output: started("print('done')", output),
        Patience(60, stopped, (Room.half(str(tmp_path)),)),
        ignore,
    )

    assert (ending.status, ending.output, ending.excess) == (0, "done", None)


def test_half_of_the_disk_is_kept_and_at_most_half_a_gibibyte(tmp_path: Path) -> None:
    room = Room.half(str(tmp_path))

    assert 0 < room.least_bytes <= 512 << 20
    assert not room.is_taken()
