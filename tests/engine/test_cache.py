from __future__ import annotations

import pytest

from engine.cache import CacheFull, GlobalCache, Mirror
from engine.clock import ManualClock


def test_a_value_is_there_until_its_time_is_over() -> None:
    clock = ManualClock()
    cache = GlobalCache(clock)
    cache.put("k", b"v", ttl_s=5.0)

    assert cache.get("k") == b"v"
    clock.advance(5.0)

    assert cache.get("k") is None
    assert not cache.delete("k")


def test_a_put_replaces_value_and_expiry() -> None:
    clock = ManualClock()
    cache = GlobalCache(clock)
    cache.put("k", b"old", ttl_s=1.0)
    cache.put("k", b"new", ttl_s=None)

    clock.advance(10.0)

    assert cache.get("k") == b"new"


def test_a_full_cache_refuses_and_keeps_what_it_has() -> None:
    cache = GlobalCache(ManualClock(), max_bytes=210)
    cache.put("a", b"12345678", ttl_s=None)

    with pytest.raises(CacheFull):
        cache.put("b", b"123", ttl_s=None)

    assert cache.get("a") == b"12345678"
    cache.put("a", b"123456789", ttl_s=None)
    assert cache.get("a") == b"123456789"


def test_expired_values_make_room() -> None:
    clock = ManualClock()
    cache = GlobalCache(clock, max_bytes=210)
    cache.put("a", b"12345678", ttl_s=1.0)
    clock.advance(2.0)

    cache.put("b", b"12345678", ttl_s=None)

    assert cache.get("b") == b"12345678"


def test_a_mirror_gives_back_what_has_not_expired() -> None:
    mirror = Mirror()
    mirror.store("a", b"1", None)
    mirror.store("b", b"2", 100)
    mirror.store("c", b"3", None)
    mirror.forget("c")

    assert [key for key, _ in mirror.unexpired(now_ns=100)] == ["a"]


def test_live_values_are_named_once_when_they_are_lost() -> None:
    mirror = Mirror()
    mirror.note_live("client")
    mirror.store("big", b"x", None)
    mirror.note_live("big")

    assert mirror.take_lost() == ["big", "client"]
    assert mirror.take_lost() == []
    assert list(mirror.unexpired(0)) == []


def test_values_beyond_the_limit_are_only_noted() -> None:
    mirror = Mirror(max_bytes=204)
    mirror.store("k", b"12345", None)

    assert mirror.take_lost() == ["k"]


def test_keys_count_even_with_empty_values_and_live_names_are_bounded() -> None:
    mirror = Mirror(max_bytes=10_000)
    for number in range(2000):
        mirror.store(f"k{number}", b"", None)

    assert len(mirror.unexpired(0)) < 50
    assert len(mirror.take_lost()) == 1000


def test_endless_keys_of_a_hostile_worker_take_bounded_memory() -> None:
    mirror = Mirror(max_bytes=1_000_000)
    for number in range(2000):
        mirror.note_live(f"{number:09}" + "k" * 9_000)
        mirror.store(f"{number:09}" + "\N{GRINNING FACE}" * 100_000, b"", None)

    lost = mirror.take_lost()

    assert len(lost) == 1000
    assert max(map(len, lost)) == 1024
    assert len(mirror.unexpired(0)) == 2
