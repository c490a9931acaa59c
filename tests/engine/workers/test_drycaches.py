from __future__ import annotations

import pytest

from engine.cache import CacheFull
from engine.clock import ManualClock
from engine.workers.drycaches import DryCaches

SECOND_NS = 1_000_000_000
HALF_AN_HOUR_S = 30 * 60


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(1_000)


@pytest.fixture
def caches(clock: ManualClock) -> DryCaches:
    return DryCaches(clock, max_names=2)


def own_keys(caches: DryCaches, name: str, clock: ManualClock) -> list[str]:
    return [key for key, _ in caches.open(name).own.unexpired(clock.now_ns())]


def test_own_values_are_kept_for_half_an_hour(caches: DryCaches, clock: ManualClock) -> None:
    used = caches.open("a")
    used.own.store("k", b"1", None)
    caches.keep("a", used)

    clock.advance(HALF_AN_HOUR_S - 1)
    assert own_keys(caches, "a", clock) == ["k"]

    clock.advance(1)
    assert own_keys(caches, "a", clock) == []


def test_a_ttl_that_was_given_counts(caches: DryCaches, clock: ManualClock) -> None:
    used = caches.open("a")
    used.own.store("long", b"1", clock.now_ns() + 3600 * SECOND_NS)
    used.own.store("short", b"1", clock.now_ns() + SECOND_NS)
    shared = used.shared
    shared.put("long", b"1", 3600.0)
    shared.put("short", b"1", 1.0)
    shared.put("none", b"1", None)
    caches.keep("a", used)

    clock.advance(HALF_AN_HOUR_S)

    assert own_keys(caches, "a", clock) == ["long"]
    assert [shared.get(key) for key in ("long", "short", "none")] == [b"1", None, None]


def test_a_run_works_on_a_copy_until_it_has_ended(caches: DryCaches, clock: ManualClock) -> None:
    own = caches.open("a").own
    own.store("k", b"1", None)

    assert own_keys(caches, "a", clock) == []


def test_names_do_not_mix(caches: DryCaches, clock: ManualClock) -> None:
    first = caches.open("a")
    first.own.store("k", b"1", None)
    first.shared.put("k", b"1", None)
    caches.keep("a", first)

    assert own_keys(caches, "b", clock) == []
    assert caches.open("b").shared.get("k") is None
    assert caches.open("a").shared.get("k") == b"1"


def test_of_too_many_names_the_oldest_is_forgotten(caches: DryCaches) -> None:
    for name in ("a", "b"):
        caches.open(name).shared.put("k", b"1", None)
    caches.open("a")
    caches.open("c")

    assert caches.open("a").shared.get("k") == b"1"
    assert caches.open("b").shared.get("k") is None


def test_a_namespace_is_bounded(caches: DryCaches) -> None:
    shared = caches.open("a").shared

    with pytest.raises(CacheFull):
        shared.put("k", bytes(9 * 1024 * 1024), None)

    assert shared.delete("k") is False


def test_runs_side_by_side_keep_what_the_other_has_changed(
    caches: DryCaches, clock: ManualClock
) -> None:
    before = caches.open("a")
    before.own.store("gone", b"1", None)
    caches.keep("a", before)
    one, other = caches.open("a"), caches.open("a")
    one.own.store("new", b"1", None)
    other.own.forget("gone")

    caches.keep("a", one)
    caches.keep("a", other)

    assert own_keys(caches, "a", clock) == ["new"]
