"""How a lane comes to its worker: code and environment have to be there first.

Used by the thread that drives the lane. An environment that is being built is waited for here, by
the trigger that needs it and by nobody else.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from engine.environments.home import BuildingEnvironment
from engine.plugins.source import PluginCode
from engine.workers.conversation import StopAsked
from engine.workers.crew import Crew
from engine.workers.generation import LaneEnd, Worker
from engine.workers.inbox import Inbox

__all__ = ["Boarding"]

# Of callers with an environment that is being built; small ones take less.
_PATIENCE_S = 5.0


class Boarding:
    """The way of one lane to its worker."""

    def __init__(
        self, code: PluginCode, lane: int, inbox: Inbox, *, crew: Crew, end: LaneEnd
    ) -> None:
        self._code = code
        self._lane = lane
        self._inbox = inbox
        self._crew = crew
        self._end = end
        self._has_home_changed: Callable[[], bool] = lambda: False

    def board(self) -> Worker | None:
        """Return a worker at rest once there can be one; see `Crew.board`."""
        while True:
            self._has_home_changed = self._crew.watch_home()
            try:
                self._code.current()  # as long as there is none, the trigger waits for it
                return self._crew.board(self._lane)
            except BuildingEnvironment as building:
                self._await(building)

    def pause(self, seconds: float) -> None:
        """Wait before the next try: until there is something new to try, at the longest."""
        nudge, deadline_s = self._end.nudge, time.monotonic() + seconds
        while True:
            nudge.clear()  # work is looked for again when there is a worker
            left_s = deadline_s - time.monotonic()
            if left_s <= 0 or self._end.is_stopping() or self._has_home_changed():
                return
            nudge.wait(left_s)

    def _await(self, building: BuildingEnvironment) -> None:
        """Wait until it is there or cannot be had; callers are told to come back after a while."""
        nudge, deadline_s = self._end.nudge, time.monotonic() + _PATIENCE_S
        building.done.add_done_callback(lambda _: nudge.signal())
        while True:
            nudge.clear()
            if self._end.is_stopping():
                raise StopAsked
            if building.done.done():
                return
            left_s = deadline_s - time.monotonic()
            if left_s <= 0:
                self._inbox.refuse(building)  # and again, when one more has come
            nudge.wait(left_s if left_s > 0 else None)
