"""The lanes of a trigger: who starts the process, and how the others come aboard.

The first lane's thread is the captain: it starts each process, because the parent-death signal
follows the thread that did, and greets it. Each further lane is then offered to its own thread,
once. A lane's socket is bound before the process starts and changes its thread with that offer,
under a lock, which is the full fence that ZeroMQ asks for.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from engine.workers.generation import LaneEnd, Worker
from engine.workers.solitude import Solitude
from engine.workers.spawn import Spawner

__all__ = ["Crew"]


class Crew:
    """One trigger's lanes; `_condition` guards the offers."""

    def __init__(
        self, spawner: Spawner, ends: Sequence[LaneEnd], now_ns: Callable[[], int]
    ) -> None:
        self._spawner = spawner
        self._ends = tuple(ends)
        self._now_ns = now_ns
        self._condition = threading.Condition()
        self._offers: dict[int, Worker] = {}
        self.solitude = Solitude(self._nudge_all)

    def board(self, lane: int) -> Worker | None:
        """Return a worker at rest for a lane; the first lane's thread starts the process.

        Returns:
            None when the lane is to stop before there is one.

        Raises:
            PluginError: there is no process to be had.
            GreetingFailed: it did not come to rest.
            StopAsked: the owner wants the thread back.
        """
        if lane == 0:
            return self._start()
        with self._condition:
            self._condition.wait_for(lambda: lane in self._offers or self._is_stopping(lane))
            worker = self._offers.pop(lane, None)
        if worker is not None:
            self._greet(worker, has_cache=False)
        return worker

    def watch_home(self) -> Callable[[], bool]:
        """Return a call that tells whether it is worth a new try to start a process."""
        return self._spawner.watch_home()

    def has_fresh(self, lane: int, worker: Worker) -> bool:
        """Whether a lane should change from an outdated process to a fresh one.

        The first lane starts it; the others follow when it is there, and go on until then: the
        first may be in the middle of a long run.
        """
        if not worker.generation.is_outdated():
            return False
        with self._condition:
            return lane == 0 or lane in self._offers

    def renew(self, worker: Worker) -> None:
        """Have the first lane start a fresh process, because the plugin's folder has changed."""
        worker.generation.note_code_changed()
        self._ends[0].nudge.signal()

    def wake(self) -> None:
        """Let those who wait for a lane see that they are to stop."""
        with self._condition:
            self._condition.notify_all()

    def disband(self) -> None:
        """Give up the lanes that nobody has taken."""
        for worker in self._take_offers():
            worker.end()

    def _take_offers(self) -> list[Worker]:
        with self._condition:
            offers, self._offers = self._offers, {}
        return list(offers.values())

    def _start(self) -> Worker:
        for left_over in self._take_offers():
            left_over.leave()  # other lanes may still run something there
        captain, *others = self._spawner.spawn(self._ends)
        try:
            self._greet(captain, has_cache=True)
        except BaseException:
            for worker in others:
                worker.leave()
            raise
        with self._condition:
            self._offers = dict(enumerate(others, 1))
            self._condition.notify_all()
        for end in self._ends[1:]:
            end.nudge.signal()  # who rests in an outdated process
        return captain

    def _greet(self, worker: Worker, *, has_cache: bool) -> None:
        try:
            worker.greet(self._now_ns(), has_cache=has_cache)
        except BaseException:
            worker.end()
            raise

    def _nudge_all(self) -> None:
        if len(self._ends) > 1:
            for end in self._ends:
                end.nudge.signal()

    def _is_stopping(self, lane: int) -> bool:
        return self._ends[lane].is_stopping()
