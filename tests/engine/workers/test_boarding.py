"""A lane waits for what is being built, and for nothing longer than it has to."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import cast

import pytest

from engine.environments.home import BuildingEnvironment
from engine.environments.pending import promise
from engine.errors import EngineError
from engine.plugins.source import Source
from engine.workers import boarding
from engine.workers.boarding import Boarding
from engine.workers.conversation import StopAsked
from engine.workers.crew import Crew
from engine.workers.generation import LaneEnd, Worker
from engine.workers.inbox import Inbox
from engine.workers.nudge import Nudge

SOURCE = Source("p.py", "x = 1", None, "1")
ABOARD = cast("Worker", object())


class Code:
    def current(self) -> Source:
        return SOURCE


class Waiting:
    """Those who wait for an answer."""

    def __init__(self) -> None:
        self.refused: list[EngineError] = []

    def refuse(self, error: EngineError) -> None:
        self.refused.append(error)


class Builders:
    """A crew whose home is built until `done`; `version` moves on when it is another."""

    def __init__(self) -> None:
        self.done: Future[None] = promise()
        self.asked = threading.Event()
        self.version = 0

    def board(self, lane: int) -> Worker:
        self.asked.set()
        if not self.done.done():
            raise BuildingEnvironment("it is being built", self.done)
        return ABOARD

    def watch_home(self) -> Callable[[], bool]:
        before = self.version
        return lambda: self.version != before


class Pier:
    def __init__(self) -> None:
        self.crew = Builders()
        self.waiting = Waiting()
        self.stop = threading.Event()
        self.nudge = Nudge()
        self.boarding = Boarding(
            Code(),
            0,
            cast("Inbox", self.waiting),
            crew=cast("Crew", self.crew),
            end=LaneEnd(self.nudge, lambda *_: None, self.stop),
        )

    def later(self, act: Callable[[], object]) -> threading.Thread:
        """Do something once somebody has asked for a place."""

        def run() -> None:
            assert self.crew.asked.wait(10)
            act()

        thread = threading.Thread(target=run)
        thread.start()
        return thread


@pytest.fixture
def pier() -> Iterator[Pier]:
    pier = Pier()
    yield pier
    pier.nudge.close()


def test_a_lane_goes_aboard_as_soon_as_its_home_is_built(pier: Pier) -> None:
    thread = pier.later(lambda: pier.crew.done.set_result(None))

    assert pier.boarding.board() is ABOARD

    thread.join()
    assert pier.waiting.refused == []


def test_callers_are_told_to_come_back_when_it_takes_long(
    pier: Pier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(boarding, "_PATIENCE_S", 0.0)

    def refuse_two() -> None:
        while len(pier.waiting.refused) < 2:
            pier.nudge.signal()  # one more caller has come
        pier.crew.done.set_result(None)

    thread = pier.later(refuse_two)
    pier.boarding.board()

    thread.join()
    assert str(pier.waiting.refused[0]) == "it is being built"


def test_who_is_to_stop_waits_for_no_home(pier: Pier) -> None:
    def stop() -> None:
        pier.stop.set()
        pier.nudge.signal()

    thread = pier.later(stop)
    with pytest.raises(StopAsked):
        pier.boarding.board()

    thread.join()


def test_a_pause_ends_early_when_the_home_is_another(pier: Pier) -> None:
    pier.crew.done.set_result(None)
    pier.boarding.board()

    def move() -> None:
        pier.nudge.signal()  # an event, which is nothing new to try
        pier.crew.version += 1
        pier.nudge.signal()

    thread = pier.later(move)
    began_s = time.monotonic()
    pier.boarding.pause(60.0)

    thread.join()
    assert time.monotonic() - began_s < 30


def test_a_pause_lasts_although_events_come(pier: Pier) -> None:
    pier.crew.done.set_result(None)
    pier.boarding.board()
    pier.nudge.signal()
    began_s = time.monotonic()

    pier.boarding.pause(0.05)

    assert time.monotonic() - began_s >= 0.05
