"""A server under load that dies where it is told to, and its next life.

A case copies a prepared world: a data folder with rows, triggers in the middle of their work and
what a death leaves behind. It starts the server with its fault armed, loads it until it dies,
starts it again without a fault and checks.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
from pathlib import Path

from tests.faults.checking import SETTLE_S, losses
from tests.faults.load import BRIEF, Load, Memory
from tests.faults.plugins import create_triggers
from tests.faults.power import after_cut
from tests.serving import Server, eventually

LAUNCHER = "tests.faults.launcher"
SETTINGS = {
    "wal": {"segment_bytes": 30_000},
    "storage": {
        "persist_bytes": 30_000,
        "persist_age_s": 1.0,
        "persist_total_bytes": 200_000,
        "retention_check_s": 0.5,
    },
}
LOAD_S = 12.0


class World:
    """A folder with a server, and what its clients remember."""

    def __init__(self, folder: Path, memory: Memory | None = None) -> None:
        self.folder = folder
        self.memory = memory or Memory()
        self.server = Server(folder)

    def launched(self, fault: str = "", **environment: str) -> bool:
        """Start with a fault armed; return whether the server came up."""
        self.server.program = LAUNCHER
        self.server.environment = {
            "BULKHEAD_FAULT": fault,
            "BULKHEAD_SETTINGS": json.dumps(SETTINGS),
            "BULKHEAD_REACHED": str(self.folder / "reached"),
            **environment,
        }
        try:
            self.server.start()
        except AssertionError:
            # Its output ends a moment before it does.
            eventually(lambda: self.status() is not None)
            if self.status() != -signal.SIGKILL:
                raise
            return False
        return True

    def status(self) -> int | None:
        """Return how the server has ended, None while it runs."""
        return self.server.status

    def lived(self, fault: str, within_s: float = LOAD_S, **environment: str) -> bool:
        """Load a server until it dies of its fault, else stop it; return whether it died."""
        if self.launched(fault, **environment):
            load = Load(self.server, self.memory)
            load.start()
            try:
                with contextlib.suppress(AssertionError):
                    eventually(lambda: self.status() is not None, within_s=within_s)
                if self.status() is None:
                    self.server.stop()
            finally:
                load.end()
        died = self.status() == -signal.SIGKILL
        assert died or self.status() == 0, "".join(self.server.output)
        self.settle_disk()
        return died

    def settle_disk(self) -> None:
        """After a power cut, put in place what it has left."""
        left = after_cut(self.server.data)
        if left.exists():
            # Workers that are about to notice the death may still write below it.
            dead = self.server.data.with_name(f"dead-{self.server.data.stat().st_ino}")
            self.server.data.rename(dead)
            left.rename(self.server.data)
            shutil.rmtree(dead, ignore_errors=True)

    def checked(self, settle_s: float = SETTLE_S) -> list[str]:
        """Start without a fault; return what is lost."""
        assert self.launched()
        try:
            return losses(self.server, self.memory, settle_s)
        finally:
            self.server.kill()


def prepare(folder: Path) -> World:
    """Make a world in the middle of its work, with the leftovers of a death."""
    world = World(folder)
    assert world.launched()
    create_triggers(world.server)
    answer = world.server.post_json(
        "/api/v3/configure/database", {"db": BRIEF, "retention_period": "1s"}
    )
    assert answer.status == 200, answer.text
    load = Load(world.server, world.memory)
    load.start()
    eventually(lambda: len(world.memory.rows) > 300, within_s=30)
    world.server.kill()
    load.end()
    leave_behind(world.server.data / "node0")
    return world


def leave_behind(root: Path) -> None:
    """Add what a death in the middle of a write leaves: a torn record, unfinished files."""
    with max((root / "wal").glob("*.wal")).open("ab") as segment:
        segment.write(b"\x13" * 100)
    (root / "catalog" / ".unfinished-1-0-x").write_bytes(b"{")


def copied(world: World, folder: Path) -> World:
    """Return a copy that may die by itself."""
    shutil.copytree(world.folder, folder, symlinks=True, dirs_exist_ok=True)
    memory = Memory()
    memory.rows |= world.memory.rows
    memory.wide |= world.memory.wide
    memory.numbers = type(memory.numbers)(max(n for _, n in memory.rows) + 100_000)
    return World(folder, memory)
