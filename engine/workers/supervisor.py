"""One thread per trigger: it starts the worker's process and drives the first lane.

Process and thread belong together because the parent-death signal follows the thread. Further lanes
of a trigger with `run_async` are threads that this one starts, and joins before it ends.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from engine.model.trigger import Trigger
from engine.service import Service
from engine.workers import moves
from engine.workers.assignment import Assignment, Shared
from engine.workers.crew import Crew
from engine.workers.generation import LaneEnd
from engine.workers.inbox import Inbox
from engine.workers.nudge import Nudge
from engine.workers.runner import Runner
from engine.workers.spawn import Spawner
from engine.workers.triggerlog import TriggerLog

__all__ = ["Supervisor"]

_JOIN_S = 30.0


class _Lane(Service):
    """The thread of a further lane; it waits only for what the supervisor interrupts."""

    def __init__(self, name: str, runner: Runner, on_end: Callable[[], None]) -> None:
        super().__init__(name)
        self._runner = runner
        self._on_end = on_end

    def run(self) -> None:
        """Drive the lane; when it ends, the trigger ends."""
        try:
            self._runner.run()
        finally:
            self._on_end()

    def wake(self) -> None:
        """Do nothing: the supervisor wakes all lanes."""


class Supervisor(Service):
    """Drives one trigger; `request_stop` and the inbox are for any thread, all else is its own."""

    def __init__(
        self,
        assignment: Assignment,
        inbox: Inbox,
        nudges: Sequence[Nudge],
        *,
        spawner: Spawner,
        log_of: Callable[[], TriggerLog],
        shared: Shared,
    ) -> None:
        """Set up a supervisor.

        Args:
            assignment: what to run.
            inbox: where events come from; it signals all nudges.
            nudges: one for each lane.
            spawner: starts processes.
            log_of: makes the log of a lane.
            shared: what all triggers use.
        """
        super().__init__(f"trigger-{assignment.trigger.id}")
        self.trigger = assignment.trigger
        self.inbox = inbox
        self._spawner = spawner
        self._nudges = tuple(nudges)
        logs = [log_of() for _ in nudges]
        ends = [
            LaneEnd(nudge, log.plugin_line, self._stop_requested)
            for nudge, log in zip(nudges, logs, strict=True)
        ]
        self._crew = Crew(spawner, ends, shared.clock.now_ns)
        self._runners = [
            Runner(
                assignment,
                lane,
                inbox,
                crew=self._crew,
                end=end,
                trigger_log=log,
                shared=shared,
            )
            for lane, (end, log) in enumerate(zip(ends, logs, strict=True))
        ]

    def __repr__(self) -> str:
        """Describe the supervisor in a sentence."""
        return f"<Supervisor of {self.trigger.name}: {self.phase.value}>"

    @property
    def worker_pid(self) -> int | None:
        """Process id of the worker, or None while there is none."""
        return self._runners[0].worker_pid

    @property
    def phase(self) -> moves.Phase:
        """What the first lane is doing."""
        return self._runners[0].phase

    def run(self) -> None:
        """Drive the first lane, and the others beside it, until one of them ends."""
        first, *others = self._runners
        lanes = [
            _Lane(f"{self.name}-lane-{number}", runner, self.request_stop)
            for number, runner in enumerate(others, 1)
        ]
        try:
            for lane in lanes:
                lane.start()
            first.run()
        finally:
            self.request_stop()
            for lane in lanes:
                lane.stop(_JOIN_S)
            self._crew.disband()
            self.inbox.close()
            for nudge in self._nudges:
                nudge.close()

    def confine(self, trigger: Trigger) -> None:
        """Run what comes next in a worker with other grants and limits; any thread may call."""
        self.trigger = trigger
        self._spawner.confine(trigger)
        self.wake()

    def wake(self) -> None:
        """Interrupt whatever the lanes wait for."""
        for nudge in self._nudges:
            nudge.signal()
        self._crew.wake()
