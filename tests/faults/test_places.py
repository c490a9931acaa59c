"""The server, or its workers, die at each place that the source names; nothing is lost.

A new `reach(...)` is found by itself. If the load does not come by it, the case fails: let
`load.py` do what leads there, or name the place in `ELSEWHERE` with the test that has it.

A case is a chain of lives, each of which ends at the next place, and one check at the end: what a
death loses, no later life brings back. `tests/soak/deaths.py` runs each place by itself, and at
later times than the first.
"""

from __future__ import annotations

import pytest

from tests.faults.places import collected
from tests.faults.world import World

# Place -> why the load cannot come by, and what covers it.
ELSEWHERE: dict[str, str] = {
    "logroom.positions_committed": "for enabled triggers that could not start; test_logroom.py",
    "lag.gap_counted": "rows are lost on purpose there; test_gaps.py",
    "restore.part_copied": "in a command of its own; test_backup.py",
    "restore.part_in_place": "in a command of its own; test_backup.py",
}
PLACES = [place for place in sorted(collected()) if place not in ELSEWHERE]
LIVES = 20
# A power cut differs from a kill only where something is made durable. What comes after a commit of
# the catalog, or of the log, differs from these no more; `tests/soak/deaths.py` has all of them.
DISK = ("wal.", "catalog.object", "storage.file_", "persist.catalog", "compact.files_written")
ON_DISK = [place for place in PLACES if place.startswith(DISK)]


def chains(ending: str, places: list[str]) -> list[list[str]]:
    """Return the faults of each chain of lives."""
    faults = [f"{place}={ending}" for place in places]
    return [faults[first : first + LIVES] for first in range(0, len(faults), LIVES)]


CHAINS = chains("kill", PLACES) + chains("power", ON_DISK)
# What happens at these is between the server and a worker, or depends on one.
OF_WORKERS = ("run.", "workers.", "ingest.", "triggers.", "wal.record_")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.mark.parametrize("chain", CHAINS, ids=lambda chain: f"{chain[0]}..{chain[-1]}")
def test_nothing_is_lost_at_one_death_after_another(chain: list[str], world: World) -> None:
    # What is durable has nothing to do with walls, which cost each of the many lives half a second.
    world.server.options = ("--sandbox", "off")

    never = [fault for fault in chain if not world.lived(fault)]

    assert world.checked() == []
    assert never == [], "the load never came by these places"


def test_nothing_is_lost_when_all_workers_die_again_and_again(world: World) -> None:
    # Two deaths of one event are likely, more than eight are not.
    world.server.options = ("--max-deaths", "8")
    places = [place for place in PLACES if place.startswith(OF_WORKERS)]
    faults = [f"{place}#{2 + 5 * n}=kill-workers" for n, place in enumerate(places)]

    died = world.lived(",".join(faults), within_s=4.0)

    assert not died
    assert world.checked() == []


def test_no_place_stands_in_the_list_that_is_not_in_the_source() -> None:
    assert ELSEWHERE.keys() <= collected().keys()


def test_names_of_places_say_part_and_step() -> None:
    odd = [place for place in PLACES if not all(place.partition("."))]

    assert odd == []
