"""Tells scheduled triggers when they are due.

A heap of next fires and one wait until the earliest. What is due is only announced; whether a
slow trigger catches up or skips is decided by its inbox. The wall clock may be set while we
wait, so a wait never lasts longer than a minute.
"""

from __future__ import annotations

import heapq
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from engine.clock import Clock
from engine.model.schedule import next_fire
from engine.model.trigger import CronSpec, EverySpec
from engine.service import CrashHandler, Service

__all__ = ["Scheduler"]

_LONGEST_WAIT_S = 60.0


@dataclass(order=True, slots=True)
class _Fire:
    time_ns: int
    trigger_id: int
    spec: CronSpec | EverySpec = field(compare=False)


class Scheduler(Service):
    """`add` and `remove` are for any thread; `_condition` guards all fields."""

    def __init__(
        self,
        clock: Clock,
        announce: Callable[[int, int], None],
        on_crash: CrashHandler | None = None,
    ) -> None:
        """Set up the scheduler.

        Args:
            clock: tells the wall-clock time.
            announce: called with a trigger id and the time that is due, UTC nanoseconds.
            on_crash: told when the thread dies.
        """
        super().__init__("scheduler", on_crash)
        self._clock = clock
        self._announce = announce
        self._condition = threading.Condition()
        self._heap: list[_Fire] = []
        self._seen_ns = 0

    def add(self, trigger_id: int, spec: CronSpec | EverySpec) -> None:
        """Begin to announce a trigger; what it missed before is announced at once."""
        now_ns = self._clock.now_ns()
        with self._condition:
            self._push(trigger_id, spec, now_ns)
            self._condition.notify()
        self._announce(trigger_id, now_ns)

    def remove(self, trigger_id: int) -> None:
        """Announce a trigger no longer."""
        with self._condition:
            self._heap = [fire for fire in self._heap if fire.trigger_id != trigger_id]
            heapq.heapify(self._heap)

    def run(self) -> None:
        """Announce each fire at its time."""
        while not self.is_stopping:
            for fire in self._due():
                self._announce(fire.trigger_id, fire.time_ns)

    def wake(self) -> None:
        """Interrupt the wait."""
        with self._condition:
            self._condition.notify()

    def _due(self) -> list[_Fire]:
        """Wait for the earliest fire and return all that are due, each rescheduled."""
        with self._condition:
            if not self.is_stopping:
                self._condition.wait(self._wait_s())
            now_ns = self._clock.now_ns()
            if now_ns < self._seen_ns:
                self._begin_anew(now_ns)
            self._seen_ns = now_ns
            due = []
            while self._heap and self._heap[0].time_ns <= now_ns:
                fire = heapq.heappop(self._heap)
                due.append(fire)
                # From now, not from the fire: after a jump of the clock one announcement will do.
                self._push(fire.trigger_id, fire.spec, now_ns)
            return due

    def _begin_anew(self, now_ns: int) -> None:
        """After the clock was set back, wait for what comes next and not for what came next."""
        fires, self._heap = self._heap, []
        for fire in fires:
            self._push(fire.trigger_id, fire.spec, now_ns)

    def _wait_s(self) -> float:
        if not self._heap:
            return _LONGEST_WAIT_S
        left_s = (self._heap[0].time_ns - self._clock.now_ns()) / 1e9
        return min(max(left_s, 0.0), _LONGEST_WAIT_S)

    def _push(self, trigger_id: int, spec: CronSpec | EverySpec, after_ns: int) -> None:
        following_ns = next_fire(spec, after_ns)
        if following_ns is not None:
            heapq.heappush(self._heap, _Fire(following_ns, trigger_id, spec))
