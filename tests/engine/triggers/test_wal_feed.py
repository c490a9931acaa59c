from __future__ import annotations

import queue

from engine.triggers.wal_feed import WalFeed


def test_positions_of_one_interval_go_out_once_and_the_furthest_counts() -> None:
    told: queue.Queue[tuple[int, int]] = queue.Queue()
    feed = WalFeed(0.2, lambda database_id, end: told.put((database_id, end)))
    feed.note({1}, 5)
    feed.note({1, 2}, 9)
    feed.note({2}, 7)

    feed.start()
    try:
        first = {told.get(timeout=5), told.get(timeout=5)}
    finally:
        feed.stop()

    assert first == {(1, 9), (2, 9)}
    assert told.empty()


def test_a_stop_ends_the_wait_of_a_long_interval_and_of_none() -> None:
    for entries in (set(), {1}):
        feed = WalFeed(3600.0, lambda *_: None)
        feed.start()
        feed.note(entries, 2)

        assert feed.stop(timeout_s=5)
