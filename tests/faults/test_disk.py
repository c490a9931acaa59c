"""A disk that is full for a while, and syncs that fail."""

from __future__ import annotations

import contextlib
import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.checking import losses
from tests.faults.load import Load
from tests.faults.plugins import DATABASE
from tests.faults.world import World
from tests.serving import Answer, eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(150)]
NODE = "data/node0"


def write(world: World) -> Answer:
    number = next(world.memory.numbers)
    line = f"t,w=probe n={number}i {number}"
    answer = world.server.write(DATABASE, line, precision="ns")
    if answer.status == 204:
        world.memory.note([("probe", number)])
    return answer


@pytest.fixture
def small_disk(world: World) -> Iterator[World]:
    """The world on a disk of its own, which is made larger by the test."""
    kept = {path.name: path for path in world.folder.iterdir()}
    disk = world.folder / "disk"
    disk.mkdir()
    if not mounted(disk, "size=64m"):
        pytest.skip("only root may mount a small disk here")
    try:
        kept["data"].rename(world.folder / "before")
        subprocess.run(["cp", "-r", world.folder / "before", disk / "data"], check=True)
        world.server.data = disk / "data"
        yield world
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


def fill(file: Path) -> None:
    """Write until nothing fits any more."""
    with file.open("wb", buffering=0) as filling, contextlib.suppress(OSError):
        while True:
            filling.write(bytes(4096))


def mounted(disk: Path, options: str) -> bool:
    if os.geteuid() != 0:
        return False
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(disk)]
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


def test_full_disk_refuses_writes_and_heals_when_there_is_room(small_disk: World) -> None:
    world = small_disk
    disk = world.server.data.parent
    assert world.launched()
    load = Load(world.server, world.memory)
    load.start()
    filler = disk / "filler"
    fill(filler)

    refused = eventually(lambda: [one for one in [write(world)] if one.status != 204])
    threading.Event().wait(2.0)  # what persists in the background meets the full disk as well
    readable = world.server.count(DATABASE, "t")
    filler.unlink()
    eventually(lambda: write(world).status == 204, within_s=40)
    load.end()

    assert refused[0].status == 503
    assert readable
    assert losses(world.server, world.memory) == []
    world.server.kill()
    assert world.checked() == []


@pytest.mark.parametrize(
    "fault",
    [
        "call:fdatasync@/wal/#20=EIO",
        "call:fsync@/catalog/#9=EIO",
        "call:fsync@/parquet/#2+3=EIO",
        "call:fdatasync@/wal/#20=ENOSPC",
        "call:fsync@/catalog/#9+20=ENOSPC",
        "call:link@/catalog/#9+20=ENOSPC",
        "call:rename@/parquet/#2+3=ENOSPC",
        "call:unlink@/wal/#2+2=EIO",
    ],
)
def test_failing_calls_lose_nothing_over_a_restart(fault: str, world: World) -> None:
    assert world.launched(fault)
    load = Load(world.server, world.memory)
    load.start()
    threading.Event().wait(3.0)
    if world.status() is None:
        world.server.kill()
    load.end()

    assert world.checked() == []


def test_failing_sync_of_the_log_ends_writes_and_not_queries(world: World) -> None:
    assert world.launched("call:fdatasync@/wal/#5=EIO")

    refused = eventually(lambda: [one for one in [write(world)] if one.status != 204])
    again = write(world)
    readable = world.server.count(DATABASE, "t")
    world.server.kill()

    assert (refused[0].status, again.status) == (503, 503)
    assert "restart the server" in again.text
    assert readable
    assert world.checked() == []
