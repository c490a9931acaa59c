"""Requests to plugins through a real server: every form of an answer, headers, limits."""

from __future__ import annotations

import contextlib
import gzip
import http.client
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.requesting import ENGINE, Gate, add, opened, sent
from tests.serving import Answer, Server, eventually, serving

MIB = 1 << 20
HTML, JSON, PLAIN = "text/html", "application/json", "text/plain"
BINARY = "application/octet-stream"

# Answers with whatever the request asks for.
FORMS = """
class FlaskLike:
    def __init__(self, status_code, headers, body):
        self.status_code, self.headers, self._body = status_code, headers, body
    def __flask_response__(self):
        return True
    def get_data(self):
        return self._body

def parts(*items):
    yield from items

def failing(*items):
    yield from items
    raise ValueError("no more")

def process_request(influxdb3_local, query_parameters, request_headers, request_body, args=None):
    return eval(query_parameters["form"])
"""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("requests")
    with serving(folder, "--max-http-request-size", str(56 * MIB)) as server:
        server.create_database("db")
        server.plugin("forms.py", FORMS)
        assert server.trigger("db", "forms", "request:forms", "forms.py").status == 200
        yield server


def ask(server: Server, form: str, method: str = "GET", **headers: str) -> Answer:
    return server.request(method, ENGINE + "forms", None, headers, form=form)


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    return Gate.make(tmp_path)


# --- forms of an answer


@pytest.mark.parametrize(
    ("form", "status", "content_type", "body"),
    [
        ("'hi'", 200, HTML, b"hi"),
        (r"b'\xff\x00'", 200, BINARY, b"\xff\x00"),
        ("{'a': 1}", 200, JSON, b'{"a": 1}'),
        ("[1, 2]", 200, JSON, b"[1, 2]"),
        ("('hi',)", 200, HTML, b"hi"),
        ("('hi', 201)", 201, HTML, b"hi"),
        ("({'a': 1}, 404)", 404, JSON, b'{"a": 1}'),
        ("('hi', {'X-A': 'b'})", 200, HTML, b"hi"),
        ("('hi', 201, {'content-type': 'text/csv'})", 201, "text/csv", b"hi"),
        ("(b'x', 201)", 201, BINARY, b"x"),
        ("(None,)", 200, PLAIN, b"None"),
        ("(200, {'Content-Type': 'application/json'}, '{}')", 200, JSON, b"{}"),
        ("(202, None, {'a': 1})", 202, JSON, b'{"a": 1}'),
        ("(201, 'made')", 201, HTML, b"made"),
        ("FlaskLike(418, {'X-Tea': 'pot'}, 'tea')", 418, HTML, b"tea"),
        ("FlaskLike(200, [('Content-Type', 'a/b')], b'x')", 200, "a/b", b"x"),
        ("parts('a', b'b', 3, 'c')", 200, HTML, b"abc"),
        ("parts(b'a', 'b')", 200, BINARY, b"ab"),
        ("parts()", 200, HTML, b""),
        (
            "(parts('a'), 201, {'Content-Type': 'text/event-stream'})",
            201,
            "text/event-stream",
            b"a",
        ),
        ("(201, {'X-A': 'b'}, parts('a'))", 201, HTML, b"a"),
        ("iter(['a', 'b'])", 200, HTML, b"ab"),
        ("{'a'}", 200, HTML, b"a"),
    ],
)
def test_every_form_of_an_answer_issent(
    served: Server, form: str, status: int, content_type: str, body: bytes
) -> None:
    answer = ask(served, form)

    assert (answer.status, answer.headers["content-type"], answer.body) == (
        status,
        content_type,
        body,
    )


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ("None", "Unsupported return type from Python function"),
        ("('hi', 200, 'headers')", "expected a dictionary in header item"),
        ("('hi', 101)", "invalid status code: 101; it must be from 200 to 599"),
        ("('hi', 600)", "invalid status code: 600; it must be from 200 to 599"),
        ("('hi', {'a b': 'c'})", "invalid header name: 'a b'"),
        ("('hi', {'a\\r\\nb': 'c'})", "invalid header name: 'a\\r\\nb'"),
        ("failing()", "ValueError: no more"),
        ("bytes((256 << 20) + 1)", "the body of 268435457 bytes is over the limit of 268435456"),
    ],
)
def test_what_is_no_answer_is_a_500_with_the_reason(served: Server, form: str, text: str) -> None:
    answer = ask(served, form)

    assert answer.status == 500
    assert text in answer.json()["error"]


def test_fifty_megabytes_go_both_ways(served: Server) -> None:
    body = os.urandom(MIB) * 50

    answer = served.request("POST", ENGINE + "forms", body, form="request_body")

    assert answer.status == 200
    assert answer.headers["content-length"] == str(len(body))
    assert answer.body == body


def test_a_large_stream_arrives_whole(served: Server) -> None:
    answer = ask(served, "parts(*(bytes([n]) * 3_000_000 for n in range(20)))")

    assert answer.body == b"".join(bytes([n]) * 3_000_000 for n in range(20))


@pytest.mark.parametrize("status", [204, 304])
@pytest.mark.parametrize("body", ["'body'", "parts('body')"])
def test_an_answer_without_body_has_none(served: Server, status: int, body: str) -> None:
    answer = ask(served, f"({body}, {status}, {{'X-A': 'b'}})")

    assert (answer.status, answer.headers["x-a"], answer.body) == (status, "b", b"")
    assert "transfer-encoding" not in answer.headers


# --- headers


def test_a_header_cannot_start_another(served: Server) -> None:
    answer = ask(served, r"('hi', {'X-A': 'b\r\nX-Evil: 1', 'X-B': 'c\0d'})")

    assert answer.status == 200
    assert (answer.headers["x-a"], answer.headers["x-b"]) == ("", "")
    assert "x-evil" not in answer.headers


def test_framing_headers_of_a_plugin_are_left_out(served: Server) -> None:
    answer = ask(served, "('whole', {'Content-Length': '1', 'Transfer-Encoding': 'chunked'})")

    assert answer.body == b"whole"
    assert answer.headers["content-length"] == "5"


def test_headers_beyond_ascii_are_latin_1_or_empty(served: Server) -> None:
    answer = ask(served, "('hi', {'X-Name': 'caf\\u00e9', 'X-Snow': '\\u2603'})")

    assert (answer.headers["x-name"], answer.headers["x-snow"]) == ("café", "")


@pytest.mark.parametrize(
    "form",
    [
        "('hi', {'Set-Cookie': ['a=1', 'b=2']})",
        "FlaskLike(200, [('Set-Cookie', 'a=1'), ('Set-Cookie', 'b=2')], 'hi')",
        "(200, {'Set-Cookie': ('a=1', 'b=2')}, parts('hi'))",
    ],
)
def test_a_header_may_come_more_than_once(served: Server, form: str) -> None:
    target = f"forms?form={form.replace(' ', '%20')}"
    with opened(served, target) as answer:
        assert answer.headers.get_all("set-cookie") == ["a=1", "b=2"]


def test_a_plugin_sees_lower_case_headers_and_no_credentials(served: Server) -> None:
    answer = ask(
        served, "request_headers", **{"X-Upper": "1", "Authorization": "Bearer x", "X-E": "\xe9"}
    )

    seen = answer.json()
    assert (seen["x-upper"], seen["x-e"]) == ("1", "é")
    assert "authorization" not in seen


# --- HEAD and OPTIONS


@pytest.mark.parametrize(
    "form", ["('hi', 201, {'X-A': 'b'})", "(201, {'X-A': 'b'}, parts('hi', 'ho'))"]
)
def test_head_has_the_headers_of_get_and_no_body(served: Server, form: str) -> None:
    get, head = ask(served, form), ask(served, form, "HEAD")

    assert (head.status, head.body) == (get.status, b"")
    dropped = {"date", "transfer-encoding"}
    assert {k: v for k, v in head.headers.items() if k not in dropped} == {
        k: v for k, v in get.headers.items() if k not in dropped
    }


def test_head_runs_the_plugin_as_get_does(served: Server) -> None:
    add(
        served,
        "head",
        """
        def process_request(influxdb3_local, *rest):
            influxdb3_local.write(LineBuilder('heads').int64_field('n', 1))
            return 'hi'
        """,
    )

    assert served.request("HEAD", ENGINE + "head").status == 200

    assert served.count("db", "heads") == 1


def test_options_is_answered_without_running_the_plugin(served: Server) -> None:
    add(
        served,
        "open",
        """
        def process_request(influxdb3_local, *rest):
            return 'hi'
        """,
    )
    asked = {"Origin": "https://a.example", "Access-Control-Request-Headers": "authorization"}

    answer = served.request("OPTIONS", ENGINE + "open", None, asked)

    assert (answer.status, answer.body) == (204, b"")
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["access-control-allow-methods"] == "GET, POST, HEAD, OPTIONS"
    assert answer.headers["access-control-allow-headers"] == "authorization"
    assert answer.headers["access-control-max-age"] == "86400"
    assert served.logs("db", "open") == []
    get = served.request("GET", ENGINE + "open", None, asked)
    assert get.headers["access-control-allow-origin"] == "*"


def test_only_pages_of_allowed_origins_may_read(served: Server) -> None:
    add(
        served,
        "closed",
        """
        def process_request(influxdb3_local, query, *rest):
            return query['form']
        """,
        settings={"cors": ["https://a.example"]},
    )

    for origin, allowed in [
        ("https://a.example", "https://a.example"),
        ("https://b.example", None),
    ]:
        for method in ("OPTIONS", "GET", "HEAD"):
            answer = served.request(method, ENGINE + "closed", None, {"Origin": origin}, form="x")
            assert answer.headers.get("access-control-allow-origin") == allowed
            assert answer.headers["vary"] == "Origin"
        preflight = served.request("OPTIONS", ENGINE + "closed", None, {"Origin": origin})
        assert ("access-control-allow-methods" in preflight.headers) == (allowed is not None)
    failed = served.request("GET", ENGINE + "closed", None, {"Origin": "https://a.example"})
    assert (failed.status, failed.headers["access-control-allow-origin"]) == (
        500,
        "https://a.example",
    )


# --- gzip


def test_texts_are_compressed_for_who_asks(served: Server) -> None:
    form = "('long ' * 1000, {'Content-Type': 'text/csv'})"

    plain = ask(served, form)
    small = ask(served, form, **{"Accept-Encoding": "br, gzip;q=0.5"})

    assert "content-encoding" not in plain.headers
    assert (small.headers["content-encoding"], small.headers["vary"]) == ("gzip", "Accept-Encoding")
    assert gzip.decompress(small.body) == plain.body == b"long " * 1000


@pytest.mark.parametrize(
    "form",
    [
        "'short'",
        "b'binary' * 1000",
        "('text ' * 1000, {'Content-Encoding': 'br'})",
        "parts('text ' * 1000)",
    ],
)
def test_other_answers_stay_as_they_are(served: Server, form: str) -> None:
    answer = ask(served, form, **{"Accept-Encoding": "gzip"})

    assert answer.headers.get("content-encoding") in {None, "br"}
    assert answer.body in {b"short", b"binary" * 1000, b"text " * 1000}


def test_compressed_requests_are_unpacked(served: Server) -> None:
    answer = served.request(
        "POST",
        ENGINE + "forms",
        gzip.compress(b"packed"),
        {"Content-Encoding": "gzip"},
        form="request_body",
    )

    assert answer.body == b"packed"


# --- visibility and failures


def test_what_a_request_writes_can_be_queried_when_it_is_answered(served: Server) -> None:
    add(
        served,
        "visible",
        """
        def process_request(influxdb3_local, *rest):
            influxdb3_local.write(LineBuilder('visible').int64_field('n', 1))
            return 'ok'
        """,
    )

    for run in range(1, 11):
        assert served.request("POST", ENGINE + "visible").status == 200
        assert served.count("db", "visible") == run


def test_an_exception_is_json_and_a_log_row(served: Server) -> None:
    add(
        served,
        "raising",
        """
        def process_request(influxdb3_local, *rest):
            influxdb3_local.write(LineBuilder('raising').int64_field('n', 1))
            raise KeyError('missing')
        """,
    )

    answer = served.request("GET", ENGINE + "raising")

    assert (answer.status, answer.headers["content-type"]) == (500, JSON)
    assert answer.json() == {"error": "Python function call failed: KeyError: 'missing'"}
    [error] = served.logs("db", "raising", "ERROR")
    assert "raise KeyError" in error or "Traceback" in error
    assert served.count("db", "raising") == 0


@pytest.mark.parametrize(
    ("method", "path", "status", "text"),
    [
        ("GET", "nothing", 404, '{error: "not found"}'),
        ("PUT", "forms", 404, "Not found"),
        ("DELETE", "forms", 404, "Not found"),
    ],
)
def test_what_nobody_serves_is_not_found(
    served: Server, method: str, path: str, status: int, text: str
) -> None:
    answer = served.request(method, ENGINE + path)

    assert (answer.status, answer.text) == (status, text)


# --- limits


def test_a_body_over_the_limit_is_refused(served: Server) -> None:
    parts = urlsplit(served.url)
    head = (
        f"POST {ENGINE}forms HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        f"Content-Length: {60 * MIB}\r\n\r\n"
    )
    with socket.create_connection((parts.hostname, parts.port), timeout=30) as client:
        client.sendall(head.encode())
        answer = client.recv(65536)

    assert answer.startswith(b"HTTP/1.1 413 ")


def test_more_parameters_than_a_plugin_is_given_are_refused(served: Server) -> None:
    answer = served.request("GET", ENGINE + "forms", **{f"p{n}": 1 for n in range(1025)})

    assert (answer.status, answer.text) == (
        400,
        "1025 query parameters; at most 1024 are taken",
    )
    assert ask(served, "'alive'").text == "alive"


@pytest.mark.parametrize(("name", "early"), [("silent", "pass"), ("begun", "yield 'first'")])
def test_a_run_over_its_time_is_stopped(served: Server, name: str, early: str) -> None:
    code = f"""
        import threading
        def process_request(*args):
            {early}
            threading.Event().wait()
            yield 'never'
        """
    add(served, name, code, settings={"limits": {"time": "400ms"}})

    with opened(served, name) as answer:
        if name == "begun":
            with pytest.raises(http.client.IncompleteRead):
                answer.read()
        else:
            assert answer.status == 504
            assert b"0.4 s" in answer.read()

    [error] = eventually(lambda: served.logs("db", name, "ERROR"))
    assert "time limit" in error


def test_more_requests_than_may_wait_are_told_to_come_again(served: Server, gate: Gate) -> None:
    add(
        served,
        "busy",
        """
        def process_request(influxdb3_local, query, headers, body, args):
            if query:
                open(args['gate']).read()
            return 'done'
        """,
        arguments={"gate": str(gate.path)},
        settings={"grants": [gate.grant]},
    )
    with contextlib.ExitStack() as open_ones:
        first = open_ones.enter_context(sent(served, "busy?first=1"))
        eventually(lambda: served.logs("db", "busy"))
        waiting = [open_ones.enter_context(sent(served, "busy")) for _ in range(64)]

        refused = eventually(lambda: _refusal(served))
        gate.let_go()

        assert refused.headers["retry-after"] == "1"
        answers = [http.client.HTTPResponse(each) for each in (first, *waiting)]
        for answer in answers:
            answer.begin()
        assert [answer.status for answer in answers].count(200) >= 64


def _refusal(server: Server) -> Answer | None:
    """Return a 503; a request that finds room gives its place up by leaving."""
    with contextlib.suppress(TimeoutError), sent(server, "busy", timeout_s=1.0) as client:
        answer = http.client.HTTPResponse(client)
        answer.begin()
        if answer.status == 503:
            names = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(503, names, answer.read())
    return None
