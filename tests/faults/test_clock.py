"""The wall clock jumps back and forth under load."""

from __future__ import annotations

import struct
import threading
from pathlib import Path

import pytest

from tests.faults.checking import losses
from tests.faults.load import Load
from tests.faults.world import World

pytestmark = [pytest.mark.slow, pytest.mark.timeout(150)]
JUMPS_S = (-10, 20, -5, 25)  # the last is the furthest, so that ticks go on at once


def set_clock(file: Path, wrong_by_s: int) -> None:
    with file.open("r+b") as shared:
        shared.write(struct.pack("<q", wrong_by_s * 1_000_000_000))


@pytest.mark.parametrize("ending", ["kill", "stop"])
def test_jumps_of_the_clock_lose_and_repeat_nothing(world: World, ending: str) -> None:
    clock = world.folder / "clock"
    clock.write_bytes(bytes(8))
    assert world.launched(BULKHEAD_CLOCK=str(clock))
    load = Load(world.server, world.memory)
    load.start()
    for jump_s in JUMPS_S:
        threading.Event().wait(0.8)
        set_clock(clock, jump_s)
    threading.Event().wait(0.8)

    getattr(world.server, ending)()
    load.end()

    assert world.launched(BULKHEAD_CLOCK=str(clock))
    try:
        assert losses(world.server, world.memory) == []
    finally:
        world.server.kill()
