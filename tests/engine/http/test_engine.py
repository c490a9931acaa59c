"""Requests to plugins over HTTP, and what goes back."""

import gzip
import socket
import threading
from concurrent.futures import Future

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import Busy, PluginFailed, RunTimedOut, WorkerDied
from engine.http.engine import event_headers, plugin_answer
from engine.http.server import HttpServer
from engine.model.event import PluginResponse
from tests.http_services import EdgeParts
from tests.serving import eventually

PATH = "/api/v3/engine/"
OK = PluginResponse(200, (("Content-Type", "text/html"),), b"done")


def test_plugin_gets_query_headers_and_body(client: httpx.Client, parts: EdgeParts) -> None:
    parts.requests.answers["a/b"] = OK

    answer = client.post(
        PATH + "a/b?x=1&x=2&plus=a+b&bare&pct=%C3%A9%FF",
        content=gzip.compress(b"body"),
        headers=[
            ("Content-Encoding", "gzip"),
            ("Authorization", "Bearer secret"),
            ("X-Twice", "first"),
            ("X-Twice", "second"),
        ],
    )

    assert (answer.status_code, answer.text) == (200, "done")
    assert answer.headers.get_list("content-type") == ["text/html"]
    [(path, event)] = parts.requests.seen
    assert path == "a/b"
    assert event.query == {"x": "2", "plus": "a b", "bare": "", "pct": "é\ufffd"}
    assert event.headers["x-twice"] == "second"
    assert "authorization" not in event.headers
    assert event.body == b"body"


def test_get_has_an_empty_body(client: httpx.Client, parts: EdgeParts) -> None:
    parts.requests.answers["p"] = OK

    assert client.get(PATH + "p").status_code == 200
    assert parts.requests.seen[0][1].body == b""


@pytest.mark.parametrize("is_running", [False, True])
def test_a_client_that_leaves_takes_back_what_no_plugin_has_begun(
    edge: HttpServer, client: httpx.Client, parts: EdgeParts, is_running: bool
) -> None:
    waiting = parts.requests.waiting["p"] = Future()
    settled = threading.Event()
    waiting.add_done_callback(lambda _: settled.set())
    with socket.create_connection(edge.address, timeout=5.0) as leaving:
        leaving.sendall(b"GET /api/v3/engine/p HTTP/1.1\r\nhost: x\r\n\r\n")
        eventually(lambda: parts.requests.seen)
        if is_running:
            assert waiting.set_running_or_notify_cancel()

    assert settled.wait(0.2 if is_running else 5.0) is not is_running
    if is_running:
        waiting.set_result(OK)
    assert waiting.cancelled() is not is_running


def test_a_future_that_the_service_gives_up_is_answered_as_a_stop(
    client: httpx.Client, parts: EdgeParts
) -> None:
    given_up = parts.requests.waiting["p"] = Future()
    given_up.cancel()

    assert client.get(PATH + "p").status_code == 503


def test_headers_that_are_not_ascii_are_latin_1() -> None:
    assert event_headers([(b"X-Name", b"caf\xe9")]) == {"x-name": "café"}


@pytest.mark.parametrize("path", ["unknown", "", "p/", "p/q"])
def test_unknown_path_has_the_known_body(client: httpx.Client, parts: EdgeParts, path: str) -> None:
    parts.requests.answers["p"] = OK

    answer = client.get(PATH + path)

    assert (answer.status_code, answer.text) == (404, '{error: "not found"}')


@pytest.mark.parametrize(
    ("error", "status", "text"),
    [
        (PluginFailed("ValueError: no"), 500, '{"error":"ValueError: no"}'),
        (WorkerDied("killed by SIGSEGV"), 502, '{"error":"killed by SIGSEGV"}'),
        (RunTimedOut("stopped after 5 s"), 504, '{"error":"stopped after 5 s"}'),
        (Busy("64 requests are waiting"), 503, "64 requests are waiting"),
    ],
)
def test_failed_runs(
    client: httpx.Client, parts: EdgeParts, error: Exception, status: int, text: str
) -> None:
    parts.requests.answers["p"] = error

    answer = client.get(PATH + "p")

    assert (answer.status_code, answer.text) == (status, text)
    assert answer.headers.get("retry-after") == ("1" if status == 503 else None)


@pytest.mark.parametrize("status", [-1, 0, 1, 100, 101, 199, 600, 99_999])
def test_status_that_ends_no_request_is_the_plugins_failure(
    client: httpx.Client, parts: EdgeParts, status: int
) -> None:
    parts.requests.answers["p"] = PluginResponse(status, (), b"")

    answer = client.get(PATH + "p")

    assert answer.status_code == 500
    assert str(status) in answer.json()["error"]


@pytest.mark.parametrize("status", [200, 204, 205, 304, 404, 599])
def test_connection_is_sound_after_any_status(
    edge: HttpServer, parts: EdgeParts, status: int
) -> None:
    parts.requests.answers["p"] = PluginResponse(status, (), b"body")
    request = b"GET /api/v3/engine/p HTTP/1.1\r\nHost: x\r\n\r\n"
    with socket.create_connection(edge.address, timeout=5.0) as client:
        client.sendall(request + b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        answers = b"".join(iter(lambda: client.recv(65536), b""))

    assert answers.startswith(b"HTTP/1.1 %d " % status)
    assert answers.endswith(b"\r\n\r\nOK")
    assert (b"body" in answers) == (status not in {204, 205, 304})


def test_framing_is_not_the_plugins(client: httpx.Client, parts: EdgeParts) -> None:
    headers = (
        ("Content-Length", "1"),
        ("Transfer-Encoding", "chunked"),
        ("Connection", "close"),
        ("Cluster-UUID", "mine"),
        ("Access-Control-Allow-Origin", "https://example.org"),
        ("Set-Cookie", "a=1"),
        ("Set-Cookie", "b=2"),
    )
    parts.requests.answers["p"] = PluginResponse(200, headers, b"whole body")

    answer = client.get(PATH + "p")

    assert answer.text == "whole body"
    assert answer.headers.get_list("cluster-uuid") == [parts.catalog.catalog.uuid]
    assert answer.headers.get_list("access-control-allow-origin") == ["https://example.org"]
    assert answer.headers.get_list("set-cookie") == ["a=1", "b=2"]


@pytest.mark.parametrize("name", ["", "a b", "a\r\nb", "é", "a:"])
def test_header_name_that_is_none_is_the_plugins_failure(name: str) -> None:
    with pytest.raises(PluginFailed, match="header name"):
        plugin_answer(PluginResponse(200, ((name, "v"),), b""))


@given(st.text(), st.binary(), st.integers(200, 599))
def test_header_values_never_break_out_of_their_line(value: str, body: bytes, status: int) -> None:
    answer = plugin_answer(PluginResponse(status, (("X-A", value),), body))

    sent = dict(answer.raw_headers)[b"X-A"]
    assert not set(sent) & {0, 10, 13, 127}
    assert sent in {b"", value.encode("latin-1", "ignore")}
