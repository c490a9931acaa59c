"""A backup taken under load is one moment, and a restore that dies leaves no half of a server."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.load import Load, Memory
from tests.faults.places import collected
from tests.faults.world import LAUNCHER, World

pytestmark = [pytest.mark.slow, pytest.mark.timeout(150)]
RESTORING = sorted(place for place in collected() if place.startswith("restore."))


def run(*words: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", LAUNCHER, *map(str, words)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={"PATH": "/usr/bin:/bin", "INFLUXDB3_DISABLE_DOTENV": "1", **environment},
    )


@pytest.fixture
def backup(world: World) -> tuple[Path, Memory]:
    """A backup of the world under load, and what was acknowledged before it began."""
    assert world.launched()
    load = Load(world.server, world.memory)
    load.start()
    with world.memory.lock:
        before = Memory()
        before.rows, before.wide = set(world.memory.rows), set(world.memory.wide)
    ended = run("backup", world.folder / "backup", "--host", world.server.url)
    while "another backup is being made" in ended.stderr:  # by the load
        ended = run("backup", world.folder / "backup", "--host", world.server.url)
    world.server.kill()
    load.end()
    assert ended.returncode == 0, ended.stderr
    before.numbers = world.memory.numbers
    return world.folder / "backup", before


def restored(backup: Path, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    target = ("--data-dir", folder / "data", "--node-id", "node0")
    return run("restore", backup, *target, "--plugin-dir", folder / "plugins", **environment)


def test_backup_under_load_is_one_moment(backup: tuple[Path, Memory], tmp_path: Path) -> None:
    place, acknowledged = backup
    folder = tmp_path / "again"

    ended = restored(place, folder)

    assert ended.returncode == 0, ended.stderr
    assert World(folder, acknowledged).checked() == []


def test_restore_that_dies_leaves_all_or_nothing_of_a_server(
    backup: tuple[Path, Memory], tmp_path: Path
) -> None:
    place, acknowledged = backup
    for number, fault in enumerate(f"{one}#{nth}" for one in RESTORING for nth in (1, 2)):
        folder = tmp_path / f"again{number}"
        died = restored(place, folder, BULKHEAD_FAULT=f"{fault}=kill")
        node = folder / "data" / "node0"
        is_whole = fault == "restore.part_in_place#2"

        assert died.returncode == -signal.SIGKILL, fault
        assert node.exists() == is_whole, fault
        if not is_whole:
            shutil.rmtree(folder / "plugins", ignore_errors=True)
            assert restored(place, folder).returncode == 0, fault

    assert World(folder, acknowledged).checked() == []
