from __future__ import annotations

import queue
import threading

from engine.clock import ManualClock, SystemClock
from engine.model.trigger import EverySpec
from engine.triggers.scheduler import Scheduler

SECOND_NS = 1_000_000_000


def test_a_trigger_is_told_each_time_it_is_due() -> None:
    told: queue.Queue[tuple[int, int]] = queue.Queue()
    period_ns = SECOND_NS // 50
    scheduler = Scheduler(SystemClock(), lambda trigger, due: told.put((trigger, due)))
    scheduler.start()
    try:
        scheduler.add(7, EverySpec(period_ns))
        told.get(timeout=5)  # what was missed before
        fires = [told.get(timeout=5) for _ in range(3)]
    finally:
        scheduler.stop()

    assert all(trigger == 7 and due % period_ns == 0 for trigger, due in fires)
    assert fires == sorted(fires)


def test_a_jump_of_the_clock_is_told_once() -> None:
    told: queue.Queue[tuple[int, int]] = queue.Queue()
    clock = ManualClock(10 * SECOND_NS)
    scheduler = Scheduler(clock, lambda trigger, due: told.put((trigger, due)))
    scheduler.add(7, EverySpec(SECOND_NS))
    assert told.get(timeout=5) == (7, 10 * SECOND_NS)

    clock.advance(3600)
    scheduler.start()
    try:
        assert told.get(timeout=5) == (7, 11 * SECOND_NS)
        scheduler.add(8, EverySpec(SECOND_NS))
        assert told.get(timeout=5) == (8, 3610 * SECOND_NS)
    finally:
        scheduler.stop()

    assert told.empty()


def test_a_removed_trigger_is_told_no_more() -> None:
    told: queue.Queue[tuple[int, int]] = queue.Queue()
    clock = ManualClock(10 * SECOND_NS)
    scheduler = Scheduler(clock, lambda trigger, due: told.put((trigger, due)))
    for trigger in (7, 8):
        scheduler.add(trigger, EverySpec(SECOND_NS))
        told.get(timeout=5)

    scheduler.remove(7)
    clock.advance(1)
    scheduler.start()
    try:
        assert told.get(timeout=5) == (8, 11 * SECOND_NS)
    finally:
        scheduler.stop()

    assert told.empty()


def test_after_the_clock_was_set_back_fires_come_at_their_new_times() -> None:
    told: queue.Queue[tuple[int, int]] = queue.Queue()
    clock = ManualClock(10_000 * SECOND_NS)
    scheduler = Scheduler(clock, lambda trigger, due: told.put((trigger, due)))
    scheduler.add(7, EverySpec(SECOND_NS))
    told.get(timeout=5)
    clock.advance(1)
    scheduler.start()
    try:
        assert told.get(timeout=5) == (7, 10_001 * SECOND_NS)
        clock.advance(-9_000)
        while told.empty() and clock.now_ns() < 1_100 * SECOND_NS:
            clock.advance(1)
            scheduler.wake()
            threading.Event().wait(0.01)
        assert told.get(timeout=5)[1] <= 1_100 * SECOND_NS
    finally:
        scheduler.stop()
