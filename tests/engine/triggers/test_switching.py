"""Those who share are told of a switch one after the other, however many switches there are."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from engine.environments.jobs import SHARED_LABEL
from engine.model.lock import SHARED, Asked, Reason
from engine.triggers.switching import Switchboard
from tests.engine.triggers.conftest import Town


class Told:
    """A switchboard, what it has put off, and whom it woke."""

    def __init__(self, town: Town) -> None:
        self.put_off: list[Callable[[], None]] = []
        self.woken: list[int | None] = []
        self.on_wake: Callable[[], None] = lambda: None
        self._town = town
        self._board = Switchboard(
            town.store, town.lodging, town.clock, wake=self._wake, soon=self.put_off.append
        )

    def switch(self, version: int) -> None:
        asked = Asked((f"six=={version}",))
        found = self._town.environments.prepare(SHARED_LABEL, asked).result(10)
        self._board.pin(SHARED, found, Reason.INSTALLED)

    def _wake(self, target: int | None) -> None:
        self.woken.append(target)
        on_wake, self.on_wake = self.on_wake, lambda: None
        on_wake()


def test_switches_that_follow_each_other_wake_all_once(town: Town) -> None:
    told = Told(town)
    for version in range(3):
        told.switch(version)

    assert len(told.put_off) == 1
    told.put_off.pop()()

    assert told.woken == [None]


def test_a_switch_while_they_are_woken_has_them_woken_again_by_the_same_thread(town: Town) -> None:
    told = Told(town)
    told.on_wake = lambda: told.switch(2)
    told.switch(1)

    told.put_off.pop()()

    assert told.woken == [None, None]
    assert told.put_off == []


def test_those_who_cannot_be_woken_are_woken_by_the_next_switch(
    town: Town, caplog: pytest.LogCaptureFixture
) -> None:
    told = Told(town)

    def fail() -> None:
        raise ValueError("a defect")

    told.on_wake = fail
    for version in range(2):
        told.switch(version)
        told.put_off.pop()()

    assert told.woken == [None, None]
    assert "workers could not be told" in caplog.text
