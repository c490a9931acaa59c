"""The process is killed at each place that the catalog names."""

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from engine.catalog.objects import LocalObjects
from engine.catalog.snapshots import Snapshots
from engine.catalog.store import CatalogStore
from tests.engine.catalog.committing import create

ROOT = Path(__file__).parents[3]
PLACES = [
    ("catalog.object_written", 1),
    ("catalog.object_written", 40),
    ("catalog.object_linked", 1),
    ("catalog.object_linked", 40),
    ("catalog.object_synced", 40),
    ("catalog.commit_written", 70),
    ("catalog.commit_told", 70),
    ("catalog.snapshot_written", 1),
    ("catalog.snapshot_written", 3),
    ("catalog.commit_removed", 1),
    ("catalog.snapshot_removed", 1),
    ("catalog.snapshot_removed", 2),
]


@pytest.mark.parametrize(("place", "nth"), PLACES)
def test_killed_process_keeps_what_it_told_and_goes_on(
    tmp_path: Path, place: str, nth: int
) -> None:
    command = [sys.executable, "-m", "tests.engine.catalog.committing", place, str(nth)]

    ended = subprocess.run(
        [*command, str(tmp_path)], cwd=ROOT, capture_output=True, check=False, timeout=60
    )

    assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()
    told = [int(line) for line in ended.stdout.split()]
    objects = LocalObjects(tmp_path)
    store = CatalogStore.open(objects)
    catalog = store.catalog
    assert catalog.number - len(told) in {0, 1}
    assert len(catalog.databases) == catalog.number + 1
    snapshots = Snapshots(store, objects)
    for _ in range(2):
        catalog = store.update(create)
        snapshots.catch_up()
    assert CatalogStore.open(LocalObjects(tmp_path)).catalog == catalog
    assert len(objects.list("catalog-snapshots")) == 2


def test_every_place_of_the_catalog_has_a_case() -> None:
    sources = (ROOT / "engine" / "catalog").glob("*.py")
    text = "".join(path.read_text(encoding="utf-8") for path in sources)

    named = set(re.findall(r'reach\("(.+?)"\)', text))
    assert named == {place for place, _nth in PLACES}
