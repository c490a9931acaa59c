from __future__ import annotations

from concurrent.futures import Future

import pytest

from engine.clock import ManualClock
from engine.logs import LogRing
from engine.model.event import RequestEvent, ScheduledEvent, WalEvent
from engine.model.trigger import Kind
from engine.workers.inbox import PendingRequest, Work
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
