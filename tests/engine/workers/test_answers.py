"""The way of an answer: what is held back, who waits for room, what an end means."""

from concurrent.futures import Future

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import PluginFailed, ProtocolFault
from engine.model.event import BodyState, PluginResponse
from engine.workers.answers import AnswerSink
from worker.wire import LIMITS

HEADERS = (("X-A", "b"),)
WHOLE = PluginResponse(200, (), b"whole")


def begun(length: int | None = None) -> tuple[AnswerSink, Future[PluginResponse]]:
    answer: Future[PluginResponse] = Future()
    sink = AnswerSink(answer)
    sink.begin(201, HEADERS, length, lambda: None)
    return sink, answer


def taken(sink: AnswerSink) -> list[bytes]:
    """Return every part that may go out now."""
    parts = []
    while isinstance(part := sink.take(with_last=False), bytes):
        parts.append(part)
    return parts


def test_the_head_of_a_stream_goes_out_at_once() -> None:
    sink, answer = begun()

    response = answer.result(0)

    assert (response.status, response.headers, response.body) == (201, HEADERS, sink)
    assert sink.length is None


def test_the_newest_part_is_held_back_until_the_run_is_committed() -> None:
    sink, _ = begun()

    sink.put(b"a")
    assert taken(sink) == []
    sink.put(b"b")
    assert taken(sink) == [b"a"]
    sink.end(None)
    assert sink.take(with_last=True) is BodyState.OPEN
    sink.finish(None)

    assert taken(sink) == [b"b"]
    assert sink.take(with_last=False) is BodyState.COMPLETE


def test_an_impatient_reader_gets_the_newest_part_while_the_run_goes_on() -> None:
    sink, _ = begun()
    sink.put(b"a")

    assert sink.take(with_last=True) == b"a"
    assert sink.take(with_last=True) is BodyState.OPEN


def test_a_full_queue_makes_the_plugin_wait_until_a_part_is_taken() -> None:
    sink, _ = begun()
    part = bytes(LIMITS.chunk_bytes)

    assert sink.put(part).result(0) is True
    room = sink.put(part)
    assert not room.done()
    sink.take(with_last=False)

    assert room.result(0) is True


def test_many_small_parts_fill_the_queue_as_well() -> None:
    sink, _ = begun()

    rooms = [sink.put(b"x") for _ in range(65)]

    assert [room.done() for room in rooms] == [True] * 64 + [False]


def test_a_reader_that_leaves_frees_the_plugin_and_is_reported() -> None:
    told: list[bool] = []
    sink = AnswerSink(Future())
    sink.begin(200, (), None, lambda: told.append(True))
    part = bytes(LIMITS.chunk_bytes)
    sink.put(part)
    room = sink.put(part)

    sink.abandon()

    assert room.result(0) is False
    assert sink.put(b"more").result(0) is False
    assert told == [True]
    assert sink.is_abandoned


def test_a_reader_that_leaves_after_the_run_cancels_nothing() -> None:
    told: list[bool] = []
    sink = AnswerSink(Future())
    sink.begin(200, (), None, lambda: told.append(True))
    sink.put(b"a")
    sink.end(None)

    sink.abandon()

    assert (told, sink.is_abandoned) == ([], False)


def test_a_failed_run_breaks_its_stream_after_what_was_made() -> None:
    sink, answer = begun()
    sink.put(b"a")

    sink.fail(PluginFailed("no"))

    assert answer.exception(0) is None
    assert taken(sink) == [b"a"]
    assert sink.take(with_last=False) is BodyState.BROKEN


def test_a_body_of_known_length_waits_for_the_commit() -> None:
    sink, answer = begun(length=3)
    for part in (b"a", b"b", b"c"):
        assert sink.put(part).result(0) is True
    sink.end(None)
    assert not answer.done()

    sink.finish(None)

    assert answer.result(0).body is sink
    assert (sink.length, taken(sink)) == (3, [b"a", b"b", b"c"])
    assert sink.take(with_last=False) is BodyState.COMPLETE


def test_a_body_of_known_length_whose_run_fails_is_an_error() -> None:
    sink, answer = begun(length=1)
    sink.put(b"a")

    sink.fail(PluginFailed("no"))

    assert isinstance(answer.exception(0), PluginFailed)


def test_a_stream_can_be_collected_until_the_commit() -> None:
    answer: Future[PluginResponse] = Future()
    sink = AnswerSink(answer, holds_all=True)
    sink.begin(200, (), None, lambda: None)
    for _ in range(3):
        assert sink.put(bytes(LIMITS.chunk_bytes)).result(0) is True
    assert not answer.done()

    sink.end(None)
    sink.finish(None)

    assert answer.result(0).body is sink
    assert len(taken(sink)) == 3


def test_a_whole_answer_is_given_at_the_end() -> None:
    answer: Future[PluginResponse] = Future()
    sink = AnswerSink(answer)

    sink.end(WHOLE)
    assert not answer.done()
    sink.finish(WHOLE)

    assert answer.result(0) is WHOLE


def test_a_run_without_answer_has_failed() -> None:
    answer: Future[PluginResponse] = Future()

    AnswerSink(answer).finish(None)

    assert isinstance(answer.exception(0), PluginFailed)


def _two_heads() -> None:
    sink, _ = begun()
    sink.begin(200, (), None, lambda: None)


def _too_long() -> None:
    begun(length=LIMITS.body_bytes + 1)


def _no_head() -> None:
    AnswerSink(Future()).put(b"a")


def _too_large_a_part() -> None:
    begun()[0].put(bytes(LIMITS.chunk_bytes + 1))


def _too_short() -> None:
    begun(length=2)[0].end(None)


def _both() -> None:
    begun()[0].end(WHOLE)


@pytest.mark.parametrize(
    "lie", [_two_heads, _too_long, _no_head, _too_large_a_part, _too_short, _both]
)
def test_what_does_not_fit_together_is_the_workers_fault(lie) -> None:  # noqa: ANN001
    with pytest.raises(ProtocolFault):
        lie()


@given(st.lists(st.binary(min_size=1, max_size=3), max_size=20), st.data())
def test_parts_arrive_once_and_in_order_whenever_they_are_taken(
    parts: list[bytes], data: st.DataObject
) -> None:
    sink, _ = begun()
    seen: list[bytes] = []
    for part in parts:
        sink.put(part)
        for _ in range(data.draw(st.integers(0, 2))):
            got = sink.take(with_last=data.draw(st.booleans()))
            if isinstance(got, bytes):
                seen.append(got)
    sink.end(None)
    sink.finish(None)

    assert seen + taken(sink) == parts
