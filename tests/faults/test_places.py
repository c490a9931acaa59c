"""The server, or its workers, die at each place that the source names; nothing is lost.

A new `reach(...)` is found by itself. If the load does not come by it, the case fails: let
`load.py` do what leads there, or name the place in `ELSEWHERE` with the test that has it.
"""

from __future__ import annotations

import pytest

from tests.faults.places import collected
from tests.faults.world import World

PLACES = sorted(collected())
# Place -> why the load cannot come by, and what covers it.
ELSEWHERE: dict[str, str] = {}
# What happens at these is between the server and a worker, or depends on one.
OF_WORKERS = ("workers.", "ingest.", "triggers.", "wal.")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(150)]


@pytest.mark.parametrize("place", [place for place in PLACES if place not in ELSEWHERE])
def test_nothing_is_lost_when_the_server_dies(place: str, world: World) -> None:
    died = world.lived(f"{place}=kill")

    assert died, f"the load never came by {place} of {collected()[place]}"
    assert world.checked() == []


@pytest.mark.parametrize("place", [place for place in PLACES if place not in ELSEWHERE])
def test_what_was_synced_is_enough_when_the_power_fails(place: str, world: World) -> None:
    died = world.lived(f"{place}=power")

    assert died, f"the load never came by {place} of {collected()[place]}"
    assert world.checked() == []


@pytest.mark.parametrize(
    "place", [place for place in PLACES if place.startswith(OF_WORKERS) and place not in ELSEWHERE]
)
def test_nothing_is_lost_when_all_workers_die(place: str, world: World) -> None:
    died = world.lived(f"{place}#3=kill-workers", within_s=1.5)

    assert not died
    assert world.checked() == []


def test_no_place_stands_in_the_list_that_is_not_in_the_source() -> None:
    assert ELSEWHERE.keys() <= set(PLACES)


def test_names_of_places_say_part_and_step() -> None:
    odd = [place for place in PLACES if not all(place.partition("."))]

    assert odd == []
