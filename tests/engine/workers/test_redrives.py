from __future__ import annotations

import pytest

from engine.ingest.internal import DeadLetter
from engine.model.event import ScheduledEvent
from engine.model.trigger import ErrorBehavior
from engine.workers.inbox import Redriven
from engine.workers.moves import Policy
from engine.workers.redrives import Redrives, policy_for


def redriven(id_: str, ended: list[str]) -> Redriven:
    letter = DeadLetter(1, "db", "t", id_, "open")
    return Redriven(ScheduledEvent(1), letter, lambda: ended.append(id_))


def test_events_come_in_order_and_their_end_is_told() -> None:
    ended: list[str] = []
    redrives = Redrives()
    assert redrives.add(redriven("a", ended))
    assert redrives.add(redriven("b", ended))

    first = redrives.take()
    assert first is not None
    redrives.done(first)
    redrives.done(ScheduledEvent(1))

    assert (first.letter.id, ended) == ("a", ["a"])


def test_what_waits_when_the_trigger_ends_is_given_back_and_nothing_is_taken() -> None:
    ended: list[str] = []
    redrives = Redrives()
    redrives.add(redriven("a", ended))

    redrives.close()

    assert ended == ["a"]
    assert redrives.take() is None
    assert not redrives.add(redriven("b", ended))
    assert ended == ["a"]


@pytest.mark.parametrize("behavior", list(ErrorBehavior))
def test_event_that_is_run_again_by_hand_has_one_attempt_and_disables_nothing(
    behavior: ErrorBehavior,
) -> None:
    policy = Policy(behavior, is_request=False, max_deaths=3, max_attempts=10)

    by_hand = policy_for(redriven("a", []), policy)

    assert by_hand == Policy(ErrorBehavior.RETRY, is_request=False, max_deaths=1, max_attempts=1)
    assert policy_for(ScheduledEvent(1), policy) is policy
    assert policy_for(None, policy) is policy
