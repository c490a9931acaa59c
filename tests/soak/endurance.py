"""Load a server for minutes while its workers and itself are killed, and print what was lost.

A worker is killed each second, the server every half minute, now and then with a torn record at
the end of its log. A dead letter of a healthy plugin counts as a loss.

    python -m tests.soak.endurance [--minutes 10] [--seed 0]
"""

from __future__ import annotations

import argparse
import random
import shutil
import tempfile
import threading
import time
from pathlib import Path

import psutil

from tests.faults.load import Load
from tests.faults.world import World, leave_behind, prepare

SERVER_LIFE_S = 30.0


def life(world: World, chance: random.Random, until_s: float) -> int:
    """Load one life of the server; return how many workers were killed in it."""
    load = Load(world.server, world.memory)
    load.start()
    killed = 0
    end_s = min(until_s, time.monotonic() + SERVER_LIFE_S * chance.uniform(0.5, 1.5))
    while time.monotonic() < end_s and world.status() is None:
        threading.Event().wait(chance.uniform(0.5, 1.5))
        workers = world.server.workers()
        if workers:
            try:
                chance.choice(workers).kill()
                killed += 1
            except psutil.Error:
                continue
    if world.status() is None:
        world.server.kill()
    load.end()
    return killed


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--minutes", type=float, default=10.0)
    options.add_argument("--seed", type=int, default=0)
    asked = options.parse_args()
    chance = random.Random(asked.seed)
    folder = Path(tempfile.mkdtemp(prefix="endurance-"))
    world = prepare(folder)
    # Three deaths of one event come by chance when it takes as long as some of these.
    world.server.options = ("--max-deaths", "8")
    until_s = time.monotonic() + asked.minutes * 60
    workers = servers = 0
    starts_s = []
    while time.monotonic() < until_s:
        begun_s = time.monotonic()
        if not world.launched():
            raise SystemExit("the server did not come up:\n" + "".join(world.server.output))
        starts_s.append(time.monotonic() - begun_s)
        workers += life(world, chance, until_s)
        servers += 1
        if chance.random() < 0.5:
            leave_behind(world.server.data / "node0")
    losses = world.checked(settle_s=120.0)
    rows = len(world.memory.rows)
    print(f"{asked.minutes} min, seed {asked.seed}: {rows} rows acknowledged")
    print(f"{workers} workers and {servers} servers killed; longest start {max(starts_s):.1f} s")
    print(f"refused writes: {len(world.memory.refused)}", *sorted(set(world.memory.refused))[:3])
    print(f"{len(losses)} losses", *losses, sep="\n  ")
    if not losses:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
