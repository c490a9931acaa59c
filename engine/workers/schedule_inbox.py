"""The inbox of a scheduled trigger: which ticks are done, in hand, due, or missed.

Each commit says up to which time all ticks are done, and which later one is; the log joins these.
So after a restart a tick is run again that was in hand when the server ended, if later ones were
done or if its run had written synchronously; else it counts as missed.

A tick is named by its time and run once. So when the clock is set back, ticks go on where they had
come to; but if that is more than half an hour away, the schedule begins anew.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import islice

from engine.errors import EngineError
from engine.model.catch_up import CatchUp, Turn, next_turn
from engine.model.entry import Progress, Ticks
from engine.model.event import ScheduledEvent
from engine.model.schedule import next_fire
from engine.model.trigger import CronSpec, EverySpec
from engine.workers.inbox import Redriven, Work
from engine.workers.nudge import Nudge, Nudges
from engine.workers.redrives import Redrives

__all__ = ["ScheduleInbox"]

_FAR_BACK_NS = 30 * 60 * 1_000_000_000  # clocks are mostly wrong by seconds, or by a zone's hours
_MAX_AGAIN = 1000  # of ticks between others that are done; there is one at most for each lane


class ScheduleInbox:
    """Ticks after the last one that was taken; `_lock` guards all fields but `_redrives`."""

    def __init__(  # noqa: PLR0913  the task, and where it stands
        self,
        spec: CronSpec | EverySpec,
        catch_up: CatchUp,
        nudge: Nudge | Nudges,
        *,
        done: Ticks,
        open_ticks: Sequence[int] = (),
        now_ns: int,
        on_dropped: Callable[[Turn], None],
        begin_anew: Callable[[Ticks], None],
    ) -> None:
        """Set up the inbox.

        Args:
            spec: when ticks fall.
            catch_up: which of the missed ticks are run.
            nudge: signalled when ticks are due.
            done: what has been run; ticks between the last of these and now were missed.
            open_ticks: whose run has written synchronously; those that are not done come first.
            now_ns: UTC nanoseconds.
            on_dropped: told by the thread that takes of ticks that are never run.
            begin_anew: makes durable what is done after the clock was set far back; by that thread.
        """
        self._lock = threading.Lock()
        self._redrives = Redrives()
        self._spec = spec
        self._catch_up = catch_up
        self._nudge = nudge
        again = {tick_ns for tick_ns in open_ticks if not done.covers(tick_ns)}
        self._again = deque(sorted(again | _unfinished(spec, done)))
        self._in_hand: set[int] = set()
        self._done_ns = max((done.low_ns, *done.finished, *self._again))
        self._missed_until_ns = now_ns
        self._due_ns = self._done_ns
        self._on_dropped = on_dropped
        self._make_anew = begin_anew

    def announce(self, due_ns: int) -> None:
        """Tell that ticks up to a time are due."""
        with self._lock:
            is_back = due_ns < self._due_ns - _FAR_BACK_NS
            self._due_ns = due_ns if is_back else max(self._due_ns, due_ns)
        self._nudge.signal()

    def take(self) -> ScheduledEvent | Redriven | None:
        """Return the due tick that the catch-up policy chooses, and drop those it passes over.

        Raises:
            EngineError: the clock was set back, and that the schedule begins anew is not durable.
        """
        if redriven := self._redrives.take():
            return redriven
        with self._lock:
            if self._again:
                return self._handed(self._again.popleft())
            if self._is_far_behind():
                self._begin_anew()
            turn = next_turn(
                self._spec,
                self._catch_up,
                done_ns=self._done_ns,
                missed_until_ns=self._missed_until_ns,
                due_ns=self._due_ns,
            )
            self._done_ns = turn.done_ns if turn.tick_ns is None else turn.tick_ns
            event = None if turn.tick_ns is None else self._handed(turn.tick_ns)
        if turn.dropped:
            self._on_dropped(turn)
        return event

    def done(self, work: Work) -> None:
        """Note a finished tick; those that fell due meanwhile were missed."""
        self._redrives.done(work)
        if isinstance(work, ScheduledEvent):
            with self._lock:
                self._missed_until_ns = max(self._missed_until_ns, self._due_ns)
                self._in_hand.discard(work.time_ns)

    def progress_after(self, work: Work) -> Progress | None:
        """Return what is done once this tick is: itself, and all up to the low mark."""
        if not isinstance(work, ScheduledEvent):
            return None
        with self._lock:
            left = (self._in_hand - {work.time_ns}) | set(self._again)
            low_ns = min(left) - 1 if left else max(self._done_ns, work.time_ns)
        return Ticks(low_ns).joined(Ticks(0, (work.time_ns,)))

    def refuse(self, error: EngineError) -> None:
        """Do nothing: nobody waits for a tick."""

    def redrive(self, work: Redriven) -> bool:
        """Put an event that was given up before all others; return whether it is taken."""
        is_taken = self._redrives.add(work)
        self._nudge.signal()
        return is_taken

    def close(self) -> None:
        """Give back the events that were given up and wait."""
        self._redrives.close()

    def _is_far_behind(self) -> bool:
        """Whether a tick is due long before those that are done."""
        is_back = self._due_ns < self._done_ns - _FAR_BACK_NS and not self._in_hand
        return is_back and next_fire(self._spec, self._due_ns - 1) == self._due_ns

    def _begin_anew(self) -> None:
        before_ns = self._due_ns - 1
        self._make_anew(Ticks(before_ns))  # under the lock: no later tick may be durable before
        self._done_ns = self._missed_until_ns = before_ns

    def _handed(self, tick_ns: int) -> ScheduledEvent:
        self._in_hand.add(tick_ns)
        return ScheduledEvent(tick_ns)


def _unfinished(spec: CronSpec | EverySpec, done: Ticks) -> set[int]:
    """Return the ticks between those that are done: they were in hand at the end."""
    if not done.finished:
        return set()
    last_ns = done.finished[-1]
    ticks = islice(_fires(spec, done.low_ns, last_ns), _MAX_AGAIN + len(done.finished))
    return {tick_ns for tick_ns in ticks if not done.covers(tick_ns)}


def _fires(spec: CronSpec | EverySpec, after_ns: int, until_ns: int) -> Iterator[int]:
    tick_ns = next_fire(spec, after_ns)
    while tick_ns is not None and tick_ns < until_ns:
        yield tick_ns
        tick_ns = next_fire(spec, tick_ns)
