from __future__ import annotations

import pytest

from engine.errors import Busy, TriggerDown
from engine.model.event import PluginResponse, RequestEvent
from engine.workers.inbox import RequestInbox
from engine.workers.nudge import Nudge


def request() -> RequestEvent:
    return RequestEvent({}, {}, b"")


def test_requests_are_taken_in_order_and_refused_beyond_the_limit() -> None:
    inbox = RequestInbox(2, Nudge())
    first = inbox.submit(request())
    inbox.submit(request())

    with pytest.raises(Busy):
        inbox.submit(request())
    pending = inbox.take()

    assert pending is not None
    pending.answer.set_result(PluginResponse(200, (), b""))
    assert first.result(0).status == 200


def test_a_request_whose_client_has_gone_is_not_run() -> None:
    inbox = RequestInbox(2, Nudge())
    inbox.submit(request()).cancel()

    assert inbox.take() is None


def test_a_closed_inbox_answers_those_who_wait_and_refuses_those_who_come() -> None:
    inbox = RequestInbox(2, Nudge())
    waiting = inbox.submit(request())

    inbox.close()

    assert isinstance(waiting.exception(0), TriggerDown)
    with pytest.raises(TriggerDown):
        inbox.submit(request())
