"""Let the server die at every place, at times drawn by chance, and print what was lost.

Each case is a world of its own: prepared, loaded until the fault, started again, checked. The
first run, without a fault, tells how often the load comes by each place; the times are drawn from
that. Cases that came to no death are counted by themselves.

    python -m tests.soak.deaths [--minutes 10] [--seed 0] [--only PART]
"""

from __future__ import annotations

import argparse
import random
import shutil
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.faults.places import collected
from tests.faults.world import World, copied, prepare

ENDINGS = ("kill", "power", "kill-workers")
CENSUS_S = 6.0


def census(prepared: World, folder: Path) -> Counter[str]:
    """Return how often the load comes by each place."""
    world = copied(prepared, folder)
    world.lived("", within_s=CENSUS_S)
    return Counter((folder / "reached").read_text().split())


def case(prepared: World, folder: Path, fault: str) -> tuple[bool, list[str]]:
    """Run one case; return whether it came to its fault's death, and what was lost."""
    world = copied(prepared, folder)
    within_s = 3.0 if fault.endswith("kill-workers") else 12.0
    try:
        died = world.lived(fault, within_s=within_s)
        return died, world.checked()
    except AssertionError as error:
        return True, [f"did not come up: {str(error)[-3000:]}"]
    finally:
        if world.status() is None:
            world.server.kill()


def drawn(counts: Counter[str], only: str, chance: random.Random) -> list[str]:
    """Return one fault for each place and ending, in any order."""
    faults = []
    for place in collected():
        times = min(max(counts[place], 1), 400)
        if only in place:
            # Early ones are more often the odd ones.
            nths = [int(times ** chance.random()) for _ in ENDINGS]
            faults += [f"{place}#{n}={how}" for n, how in zip(nths, ENDINGS, strict=True)]
    chance.shuffle(faults)
    return faults


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--minutes", type=float, default=10.0)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--only", default="")
    asked = options.parse_args()
    chance = random.Random(asked.seed)
    root = Path(tempfile.mkdtemp(prefix="deaths-"))
    prepared = prepare(root / "prepared")
    counts = census(prepared, root / "census")
    never = sorted(collected().keys() - counts.keys())
    print(f"{len(collected())} places; the load never comes by {never}")
    ended_s = time.monotonic() + asked.minutes * 60
    cases = deaths = lost = 0
    while time.monotonic() < ended_s:
        for fault in drawn(counts, asked.only, chance):
            if time.monotonic() > ended_s:
                break
            folder = root / f"case{cases}"
            died, losses = case(prepared, folder, fault)
            cases, deaths, lost = cases + 1, deaths + died, lost + bool(losses)
            if losses:
                print(f"LOSS {fault} in {folder}:", *losses, sep="\n  ", flush=True)
            else:
                shutil.rmtree(folder, ignore_errors=True)
    print(f"{cases} cases (seed {asked.seed}), {deaths} deaths, {lost} with losses")


if __name__ == "__main__":
    main()
