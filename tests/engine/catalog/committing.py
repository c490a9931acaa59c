"""Commit to a catalog without end, tell each commit, and die at a place: PLACE NTH DIRECTORY."""

from __future__ import annotations

import itertools
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from engine import faultpoint
from engine.catalog.change import Change, CreateDatabase
from engine.catalog.objects import LocalObjects
from engine.catalog.snapshots import Snapshots
from engine.catalog.state import Catalog
from engine.catalog.store import CatalogStore


def create(catalog: Catalog) -> Sequence[Change]:
    return [CreateDatabase(catalog.next_id, f"db{catalog.next_id}")]


def main(place: str, nth: int, directory: Path) -> None:
    times = itertools.count(1)

    def die(reached: str) -> None:
        if reached == place and next(times) == nth:
            os.kill(os.getpid(), signal.SIGKILL)

    faultpoint.arm(die)
    objects = LocalObjects(directory)
    store = CatalogStore.open(objects)
    Snapshots(store, objects).start()
    while True:
        number = store.update(create).number
        os.write(1, b"%d\n" % number)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
