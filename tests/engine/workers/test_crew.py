"""Who of a trigger's lanes changes over to a fresh process, and when."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.cache import Mirror
from engine.workers.crew import Crew
from engine.workers.generation import Generation, LaneEnd, Worker
from engine.workers.nudge import Nudge


class Process:
    """A process that only counts what is done to it."""

    def __init__(self) -> None:
        self.ended = 0
        self.pid = os.getpid()
        self.group = None

    def has_ended(self, within_s: float) -> bool:
        return self.ended > 0

    def end(self) -> None:
        self.ended += 1

    def close(self) -> None:
        assert self.ended


class Quiet:
    """A lane, and the conversation on it, with a worker that says nothing."""

    def __init__(self) -> None:
        self.dismissed = 0

    def close(self) -> None:
        pass

    def greet(self, token: bytes, now_ns: int | None) -> None:
        pass

    def dismiss(self, within_s: float) -> None:
        self.dismissed += 1


class Spawner:
    """Starts such processes; those that are there are outdated when `version` has moved on."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.version = 0
        self.processes: list[Process] = []

    def spawn(self, ends: list[LaneEnd]) -> list[Worker]:
        process, version = Process(), self.version
        self.processes.append(process)
        generation = Generation(process, self._folder, len(ends), lambda: self.version != version)
        return [Worker(generation, Quiet(), Quiet(), Mirror(), b"") for _ in ends]


@pytest.fixture
def ends() -> Iterator[list[LaneEnd]]:
    stop = threading.Event()
    made = [LaneEnd(Nudge(), lambda *_: None, stop) for _ in range(3)]
    yield made
    for end in made:
        end.nudge.close()


@pytest.fixture
def spawner(tmp_path: Path) -> Spawner:
    return Spawner(tmp_path / "none")


def test_the_first_lane_changes_over_and_the_others_follow_when_the_process_is_there(
    spawner: Spawner, ends: list[LaneEnd]
) -> None:
    crew = Crew(spawner, ends, lambda: 0)
    first, second = crew.board(0), crew.board(1)
    assert not crew.has_fresh(0, first)

    spawner.version += 1

    assert crew.has_fresh(0, first)
    assert not crew.has_fresh(1, second)
    first.retire(1.0, is_first=True)
    first.end()
    crew.board(0)
    assert crew.has_fresh(1, second)
    assert spawner.processes[0].ended == 0


def test_the_old_process_ends_with_its_last_lane(spawner: Spawner, ends: list[LaneEnd]) -> None:
    crew = Crew(spawner, ends, lambda: 0)
    lanes = [crew.board(number) for number in range(3)]
    spawner.version += 1

    ended = []
    for number, worker in enumerate(lanes):
        worker.retire(1.0, is_first=number == 0)
        worker.end()
        ended.append(spawner.processes[0].ended)

    assert ended == [0, 0, 1]
    assert [worker.conversation.dismissed for worker in lanes] == [0, 0, 0]


def test_a_lane_that_is_alone_hears_the_worker_out(spawner: Spawner, ends: list[LaneEnd]) -> None:
    worker = Crew(spawner, ends[:1], lambda: 0).board(0)

    worker.retire(1.0, is_first=True)
    worker.end()

    assert worker.conversation.dismissed == 1
    assert spawner.processes[0].ended == 1


def test_a_process_that_was_only_offered_to_some_is_left_to_those_who_took_it(
    spawner: Spawner, ends: list[LaneEnd]
) -> None:
    crew = Crew(spawner, ends, lambda: 0)
    first, second = crew.board(0), crew.board(1)  # the third lane is still busy elsewhere
    spawner.version += 1
    first.retire(1.0, is_first=True)
    first.end()

    crew.board(0)

    assert spawner.processes[0].ended == 0
    second.retire(1.0, is_first=False)
    second.end()
    assert spawner.processes[0].ended == 1


def test_who_rests_is_told_of_the_fresh_process(spawner: Spawner, ends: list[LaneEnd]) -> None:
    crew = Crew(spawner, ends, lambda: 0)
    crew.board(0)
    ends[1].nudge.clear()
    crew.board(0)

    assert os.eventfd_read(ends[1].nudge.fileno()) == 1
