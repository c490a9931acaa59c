from __future__ import annotations

import logging
from concurrent.futures import Future

import pytest

from engine.clock import ManualClock
from engine.logs import LineFormatter, LogRing
from engine.model.event import RequestEvent, ScheduledEvent, WalEvent
from engine.model.trigger import Kind
from engine.workers.inbox import PendingRequest, Work
from engine.workers.torrent import Torrent
from engine.workers.triggerlog import TriggerLog

NEW_YEAR_NS = 1_735_689_600_000_000_000


@pytest.mark.parametrize(
    ("work", "text"),
    [
        (WalEvent(1, 2, (), ()), "starting execution of wal plugin."),
        (
            ScheduledEvent(NEW_YEAR_NS + 5),
            "starting execution with scheduled time 2025-01-01 00:00:00 UTC",
        ),
        (
            PendingRequest(RequestEvent({}, {}, b""), Future()),
            "starting execution of request plugin.",
        ),
    ],
)
def test_a_run_is_announced_and_closed_in_the_words_of_core(work: Work, text: str) -> None:
    ring = LogRing()
    log = TriggerLog(ring, ManualClock(7), "t", Kind.WAL)

    log.run_started(work, "run-1")
    log.run_finished(12_345_678)

    lines = ring.rows()
    assert lines.texts == [text, "finished execution in 12ms 345us 678ns"]
    assert lines.levels == ["INFO", "INFO"]
    assert lines.run_ids == ["run-1", "run-1"]


def test_a_plugin_cannot_log_into_the_future() -> None:
    ring = LogRing()

    TriggerLog(ring, ManualClock(7), "t", Kind.WAL).plugin_line("WARN", "x", 10**18)

    assert ring.rows().times_ns == [7]


def test_a_line_of_the_plugin_neither_acts_on_a_terminal_nor_forges_another(
    caplog: pytest.LogCaptureFixture,
) -> None:
    ring = LogRing()
    caplog.set_level(logging.INFO)
    forged = "a\n\tb\r\x1b[2J\x9b\x07\u202e\n2025-01-01T00:00:00.000Z ERROR engine.wal lost"

    TriggerLog(ring, ManualClock(7), "t", Kind.WAL).plugin_line("\x1b" * 99, forged, 1)

    [text] = ring.rows().texts
    assert text.startswith("a\n\tb\\r\\x1b[2J\\x9b\\x07\\u202e\n2025")
    assert ring.rows().levels == ["INFO"]
    [record] = caplog.records
    line = LineFormatter().format(record)
    assert "\n" not in line
    assert line.isprintable()


def test_a_torrent_of_lines_is_cut_and_the_next_line_tells_how_many_are_missing() -> None:
    ring, now_s = LogRing(20_000), [0.0]
    log = TriggerLog(ring, ManualClock(7), "t", Kind.WAL, Torrent(lambda: now_s[0]))

    for _ in range(10_005):
        log.plugin_line("INFO", "x", 1)
    log.run_finished(1)
    now_s[0] = 1.0
    log.plugin_line("INFO", "y", 1)

    texts = ring.rows().texts
    assert len(texts) == 10_003
    assert texts[-3:] == [
        "5 lines were dropped: more than 1000 a second",
        "finished execution in 1ns",
        "y",
    ]


def test_a_line_that_no_honest_worker_sends_is_cut() -> None:
    ring = LogRing()

    TriggerLog(ring, ManualClock(7), "t", Kind.WAL).plugin_line("INFO", "x" * (60 << 20), 1)

    assert ring.rows().texts == ["x" * (64 << 10)]
