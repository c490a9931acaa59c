"""The inbox of a scheduled trigger: the last tick taken, and which of the missed ones are run."""

from __future__ import annotations

import threading
from collections.abc import Callable

from engine.errors import EngineError
from engine.model.catch_up import CatchUp, Turn, next_turn
from engine.model.entry import Progress, Ticks
from engine.model.event import ScheduledEvent
from engine.model.trigger import CronSpec, EverySpec
from engine.workers.inbox import Redriven, Work
from engine.workers.nudge import Nudge, Nudges
from engine.workers.redrives import Redrives

__all__ = ["ScheduleInbox"]


class ScheduleInbox:
    """Ticks after the last one that was taken; `_lock` guards all fields but `_redrives`."""

    def __init__(
        self,
        spec: CronSpec | EverySpec,
        catch_up: CatchUp,
        nudge: Nudge | Nudges,
        *,
        done_ns: int,
        now_ns: int,
        on_dropped: Callable[[Turn], None],
    ) -> None:
        """Set up the inbox.

        Args:
            spec: when ticks fall.
            catch_up: which of the missed ticks are run.
            nudge: signalled when ticks are due.
            done_ns: the last tick that was run; ticks between it and now were missed.
            now_ns: UTC nanoseconds.
            on_dropped: told by the thread that takes of ticks that are never run.
        """
        self._lock = threading.Lock()
        self._redrives = Redrives()
        self._spec = spec
        self._catch_up = catch_up
        self._nudge = nudge
        self._done_ns = done_ns
        self._missed_until_ns = now_ns
        self._due_ns = done_ns
        self._on_dropped = on_dropped

    def announce(self, due_ns: int) -> None:
        """Tell that ticks up to a time are due."""
        with self._lock:
            self._due_ns = max(self._due_ns, due_ns)
        self._nudge.signal()

    def take(self) -> ScheduledEvent | Redriven | None:
        """Return the due tick that the catch-up policy chooses, and drop those it passes over."""
        if redriven := self._redrives.take():
            return redriven
        with self._lock:
            turn = next_turn(
                self._spec,
                self._catch_up,
                done_ns=self._done_ns,
                missed_until_ns=self._missed_until_ns,
                due_ns=self._due_ns,
            )
            self._done_ns = turn.done_ns if turn.tick_ns is None else turn.tick_ns
        if turn.dropped:
            self._on_dropped(turn)
        return None if turn.tick_ns is None else ScheduledEvent(turn.tick_ns)

    def done(self, work: Work) -> None:
        """Note a finished tick; those that fell due meanwhile were missed."""
        self._redrives.done(work)
        if isinstance(work, ScheduledEvent):
            with self._lock:
                self._missed_until_ns = max(self._missed_until_ns, self._due_ns)

    def progress_after(self, work: Work) -> Progress | None:
        """Return the tick itself."""
        return Ticks(work.time_ns) if isinstance(work, ScheduledEvent) else None

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
