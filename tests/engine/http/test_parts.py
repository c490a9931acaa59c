"""Answers in parts, over a real connection."""

import http.client
import socket
from concurrent.futures import Future

import httpx
import pytest

from engine.errors import PluginFailed
from engine.http.server import HttpServer
from engine.model.event import PluginResponse
from engine.workers.answers import AnswerSink
from tests.http_services import EdgeParts
from tests.serving import eventually

PATH = "/api/v3/engine/p"
HEADERS = (("Content-Type", "text/plain"),)


@pytest.fixture
def sink(parts: EdgeParts) -> AnswerSink:
    """An answer that the test makes while the client reads it."""
    answer: Future[PluginResponse] = Future()
    parts.requests.waiting["p"] = answer
    return AnswerSink(answer)


def opened(edge: HttpServer, method: str = "GET") -> http.client.HTTPConnection:
    connection = http.client.HTTPConnection(*edge.address, timeout=5.0)
    connection.request(method, PATH)
    return connection


def test_a_part_that_stays_the_newest_is_sent_after_a_while(
    edge: HttpServer, sink: AnswerSink
) -> None:
    sink.begin(200, HEADERS, None, lambda: None)
    connection = opened(edge)
    answer = connection.getresponse()

    sink.put(b"only")
    assert answer.read1(10) == b"only"
    sink.end(None)
    sink.finish(None)

    assert answer.read() == b""
    connection.request("GET", "/health")
    assert connection.getresponse().read() == b"OK"
    connection.close()


def test_a_body_of_known_length_says_so(client: httpx.Client, sink: AnswerSink) -> None:
    sink.begin(200, HEADERS, 4, lambda: None)
    sink.put(b"wh")
    sink.put(b"at")
    sink.end(None)
    sink.finish(None)

    answer = client.get(PATH)

    assert (answer.headers["content-length"], answer.content) == ("4", b"what")
    assert "transfer-encoding" not in answer.headers


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("GET", 204), ("GET", 304)])
def test_a_stream_without_body_is_taken_to_its_end(
    edge: HttpServer, sink: AnswerSink, method: str, status: int
) -> None:
    sink.begin(status, HEADERS, None, lambda: None)
    rooms = [sink.put(bytes(1 << 20)) for _ in range(2)]
    connection = opened(edge, method)
    answer = connection.getresponse()
    eventually(lambda: all(room.done() for room in rooms))
    sink.end(None)
    sink.finish(None)

    assert (answer.status, answer.read()) == (status, b"")
    connection.request("GET", "/health")
    assert connection.getresponse().read() == b"OK"
    connection.close()


def test_a_stream_that_fails_ends_before_its_end(edge: HttpServer, sink: AnswerSink) -> None:
    sink.begin(200, HEADERS, None, lambda: None)
    connection = opened(edge)
    answer = connection.getresponse()
    sink.put(b"some")

    sink.fail(PluginFailed("no"))

    with pytest.raises(http.client.IncompleteRead) as cut:
        answer.read()
    answer.close()
    connection.close()
    assert cut.value.partial == b"some"


def test_a_client_that_leaves_is_reported(edge: HttpServer, sink: AnswerSink) -> None:
    sink.begin(200, HEADERS, None, lambda: None)
    connection = opened(edge)
    connection.getresponse().close()
    connection.close()

    assert eventually(lambda: sink.is_abandoned)


def test_a_stream_that_begins_after_its_client_left_has_no_reader(
    edge: HttpServer, parts: EdgeParts, sink: AnswerSink
) -> None:
    answer = parts.requests.waiting["p"]
    assert answer.set_running_or_notify_cancel()
    connection = opened(edge)
    eventually(lambda: parts.requests.seen)
    assert connection.sock is not None
    connection.sock.shutdown(socket.SHUT_RDWR)
    connection.close()
    with httpx.Client(base_url="http://{}:{}".format(*edge.address)) as other:
        assert other.get("/health").text == "OK"

    sink.begin(200, HEADERS, None, lambda: None)

    assert eventually(lambda: sink.is_abandoned)


def test_a_stream_with_an_invalid_header_is_a_plain_error(
    client: httpx.Client, sink: AnswerSink
) -> None:
    sink.begin(200, (("bad name", "x"),), None, lambda: None)

    answer = client.get(PATH)

    assert answer.status_code == 500
    assert sink.is_abandoned
