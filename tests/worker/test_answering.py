"""Answers in parts, from a real worker process."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from worker.wire import LIMITS, Fault
from worker.wire import messages as m

REQUEST = m.RequestRun("r1", {}, {}, b"")
HTML = (("Content-Type", "text/html"),)
GONE = m.FaultReply(Fault("cancelled", "the client has closed the connection"))
StartWorker = Callable[..., "object"]


@pytest.fixture
def lane(start_worker):  # noqa: ANN001, ANN201 - from conftest
    worker = start_worker()
    worker.greet()
    return worker


def test_an_iterator_is_sent_as_it_goes_on(lane) -> None:  # noqa: ANN001
    lane.load("""
        def process_request(influxdb3_local, query, headers, body, args):
            def parts():
                yield "a"
                influxdb3_local.info("first taken")
                influxdb3_local.write(LineBuilder("m").int64_field("f", 1))
                yield b"b"
            return parts(), 201
        """)

    lane.say(REQUEST)
    assert lane.next() == m.Head(201, HTML, None)
    assert lane.next() == m.Chunk(b"a")
    assert lane.logs == []
    lane.say(m.DoneReply())
    assert lane.next() == m.Chunk(b"b")
    assert lane.texts("INFO") == ["first taken"]
    lane.say(m.DoneReply())

    finished = lane.finish()
    assert finished.result == m.Result(None, None)
    assert finished.lines == [m.Lines(None, "m f=1i")]


def test_an_iterator_that_fails_before_its_first_part_has_no_head(lane) -> None:  # noqa: ANN001
    lane.load("""
        def process_request(*args):
            raise ValueError("early")
            yield
        """)

    finished = lane.run(REQUEST)

    assert finished.calls == []
    assert finished.fault.message == "ValueError: early"


def test_an_iterator_that_fails_later_ends_the_run_with_a_fault(lane) -> None:  # noqa: ANN001
    lane.load("""
        def process_request(influxdb3_local, query, headers, body, args):
            influxdb3_local.write(LineBuilder("m").int64_field("f", 1))
            yield "a"
            raise ValueError("late")
        """)

    lane.say(REQUEST)
    assert isinstance(lane.next(), m.Head)
    finished = lane.finish(lambda _: m.DoneReply())

    assert finished.lines == []
    assert finished.fault.message == "ValueError: late"
    assert 'raise ValueError("late")' in finished.fault.traceback


def test_a_generator_is_closed_when_nobody_wants_its_parts(lane) -> None:  # noqa: ANN001
    lane.load("""
        def process_request(influxdb3_local, query, headers, body, args):
            try:
                while True:
                    yield "a"
            finally:
                influxdb3_local.info("closed")
        """)

    lane.say(REQUEST)
    lane.next()
    finished = lane.finish(lambda _: GONE)

    assert finished.calls == [m.Chunk(b"a")]
    assert finished.fault.message == "KeyboardInterrupt: the client has closed the connection"
    assert lane.texts("INFO") == ["closed"]


def test_a_cancelled_stream_is_interrupted_at_the_next_part(lane) -> None:  # noqa: ANN001
    lane.load("""
        def process_request(*args):
            while True:
                yield "a"
        """)

    lane.say(REQUEST)
    lane.next()
    lane.next()
    lane.say(m.Cancel())
    lane.say(m.DoneReply())

    assert lane.finish().fault.code == "cancelled"


def test_a_body_larger_than_a_message_is_sent_in_parts(lane) -> None:  # noqa: ANN001
    size = LIMITS.message_bytes + 1
    lane.load(f"""
        def process_request(*args):
            return b"x" * {size}
        """)

    lane.say(REQUEST)
    head = lane.next()
    finished = lane.finish(lambda _: m.DoneReply())

    assert head == m.Head(200, (("Content-Type", "application/octet-stream"),), size)
    assert sum(len(part.body) for part in finished.calls) == size
    assert finished.result == m.Result(None, None)
