from __future__ import annotations

from engine.workers.torrent import Torrent


def test_lines_beyond_the_burst_are_dropped_counted_and_admitted_again_with_time() -> None:
    now_s = [0.0]
    torrent = Torrent(lambda: now_s[0])

    assert sum(torrent.admit(10) for _ in range(10_003)) == 10_000
    assert torrent.take_dropped() == "3 lines were dropped: more than 1000 a second"
    assert torrent.take_dropped() == ""
    now_s[0] = 0.5
    assert sum(torrent.admit(10) for _ in range(501)) == 500
    assert torrent.take_dropped() == "1 line was dropped: more than 1000 a second"


def test_a_long_line_counts_like_many() -> None:
    torrent = Torrent(lambda: 0.0)

    assert sum(torrent.admit(64 << 10) for _ in range(1000)) == 10_000 // 65
    assert repr(torrent) == "<Torrent: room for 55 lines, 847 dropped>"
