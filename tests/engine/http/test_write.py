"""Writing over HTTP, in the forms of v3, v2 and v1."""

import gzip
import socket
from collections.abc import Callable

import httpx
import pytest

from engine.errors import Busy, DiskFailed, HotBufferFull, Stopping
from engine.http.server import HttpServer
from engine.lineprotocol.precision import Precision
from tests.http_services import EdgeParts

LINE = "cpu,host=a usage=1.5 1"
BAD = "cpu,host=a usage=1.5 1\nthis is a bad line, and long\ncpu usage=2.5 2"

Seen = Callable[[], tuple]


def test_v3_write_is_stored_and_answered_204(client: httpx.Client, parts: EdgeParts) -> None:
    answer = client.post("/api/v3/write_lp?db=db", content=LINE)

    assert (answer.status_code, answer.content) == (204, b"")
    assert len(parts.committer.entries) == 1
    assert "cpu" in parts.catalog.catalog.database("db").tables


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("/api/v3/write_lp?db=d", ("d", Precision.AUTO, True, False)),
        (
            "/api/v3/write_lp?db=d&precision=ms&accept_partial=false&no_sync=true&org=o",
            ("d", Precision.MILLISECOND, False, True),
        ),
        ("/api/v2/write?bucket=b&org=o", ("b", Precision.NANOSECOND, False, False)),
        ("/api/v2/write?bucket=b%2Frp&precision=s", ("b/rp", Precision.SECOND, False, False)),
        ("/write?db=d", ("d", Precision.NANOSECOND, False, False)),
        ("/write?db=d&rp=autogen&u=me&p=secret", ("d", Precision.NANOSECOND, False, False)),
        ("/write?db=d&rp=Weekly&precision=u", ("d/weekly", Precision.MICROSECOND, False, False)),
        ("/write?db=d&rp=", ("d", Precision.NANOSECOND, False, False)),
        ("/write?db=d&rp=%27%27", ("d", Precision.NANOSECOND, False, False)),
    ],
)
def test_parameters_of_each_form(
    client: httpx.Client, parts: EdgeParts, target: str, expected: tuple
) -> None:
    assert client.post(target, content=LINE).status_code == 204

    [seen] = parts.writes.seen
    assert (seen.database, seen.precision, seen.accept_partial, seen.no_sync) == expected
    assert seen.body == LINE.encode()


@pytest.mark.parametrize(
    ("target", "text"),
    [
        ("/api/v3/write_lp", "missing query parameter 'db'"),
        ("/api/v3/write_lp?x=1", "serde error: missing field `db`"),
        ("/api/v3/write_lp?db=a&db=b", "serde error: duplicate field `db`"),
        (
            "/api/v3/write_lp?db=a&no_sync=1",
            "serde error: provided string was not `true` or `false`",
        ),
        ("/api/v3/write_lp?db=", '{"error":"db name cannot be empty"}'),
        (
            "/api/v3/write_lp?db=_internal",
            '{"error":"db name did not start with a number or letter"}',
        ),
        ("/write", '{"error":"no db destination provided"}'),
        ("/api/v2/write", '{"code":"invalid","message":"no org/bucket destination provided"}'),
        ("/api/v2/write?org=o", '{"code":"invalid","message":"missing bucket value"}'),
        (
            "/api/v2/write?bucket=-",
            '{"code":"invalid","message":"db name did not start with a number or letter"}',
        ),
    ],
)
def test_wrong_parameters_are_told_in_each_forms_own_way(
    client: httpx.Client, parts: EdgeParts, target: str, text: str
) -> None:
    answer = client.post(target, content=LINE)

    assert (answer.status_code, answer.text) == (400, text)
    assert parts.writes.seen == []


@pytest.mark.parametrize("target", ["/api/v3/write_lp?db=d", "/write?db=d"])
def test_unknown_precision_is_400(client: httpx.Client, target: str) -> None:
    answer = client.post(f"{target}&precision=h", content=LINE)

    assert answer.status_code == 400
    assert "h" in answer.text


def test_partial_write_stores_good_lines_and_lists_bad_ones(
    client: httpx.Client, parts: EdgeParts
) -> None:
    answer = client.post("/api/v3/write_lp?db=db", content=BAD)

    assert answer.status_code == 400
    body = answer.json()
    assert body["error"] == "partial write of line protocol occurred"
    [line] = body["data"]
    assert list(line) == ["error_message", "line_number", "original_line"]
    assert line["line_number"] == 2
    assert line["original_line"] == "this is a bad line, "
    assert len(parts.committer.entries) == 1


def test_line_is_cut_between_characters(client: httpx.Client) -> None:
    answer = client.post("/api/v3/write_lp?db=db", content="é" * 15)

    assert answer.json()["data"][0]["original_line"] == "é" * 10


def test_strict_write_tells_the_first_bad_line_and_stores_nothing(
    client: httpx.Client, parts: EdgeParts
) -> None:
    answer = client.post("/api/v3/write_lp?db=db&accept_partial=false", content=BAD)

    assert answer.status_code == 400
    assert answer.json()["error"] == "line protocol parsing error"
    assert answer.json()["data"]["line_number"] == 2
    assert parts.committer.entries == []


def test_v2_write_wraps_the_reason(client: httpx.Client) -> None:
    answer = client.post("/api/v2/write?bucket=db", content=BAD)

    body = answer.json()
    assert (answer.status_code, body["code"]) == (400, "invalid")
    assert body["message"].startswith("write buffer error: line protocol parse failed: ")


def test_thousands_of_bad_lines_are_all_told(client: httpx.Client) -> None:
    answer = client.post("/api/v3/write_lp?db=db", content="bad\n" * 2000)

    assert len(answer.json()["data"]) == 2000


def test_too_many_columns_is_422_in_v3_and_400_in_v2(client: httpx.Client) -> None:
    wide = "wide " + ",".join(f"f{n}=1" for n in range(600))

    assert client.post("/api/v3/write_lp?db=db", content=wide).status_code == 422
    strict = client.post("/api/v3/write_lp?db=db&accept_partial=false", content=wide)
    assert strict.status_code == 422
    assert client.post("/api/v2/write?bucket=db", content=wide).status_code == 400


@pytest.mark.parametrize("body", [b"", b"\n\n", b"# comment\n"])
def test_empty_write_is_400(client: httpx.Client, body: bytes) -> None:
    answer = client.post("/api/v3/write_lp?db=db", content=body)

    assert (answer.status_code, answer.text) == (400, "incoming write was empty")


def test_body_that_is_not_utf8_is_400(client: httpx.Client) -> None:
    answer = client.post("/api/v3/write_lp?db=db", content=b"cpu f=1\xff")

    assert answer.status_code == 400
    assert answer.text.startswith("body content is not valid utf8: ")


def test_gzip_body_is_decompressed(client: httpx.Client, parts: EdgeParts) -> None:
    body = gzip.compress(b"cpu f=1 1\n") + gzip.compress(b"cpu f=2 2\n")

    answer = client.post(
        "/api/v3/write_lp?db=db", content=body, headers={"content-encoding": "gzip"}
    )

    assert answer.status_code == 204
    assert parts.writes.seen[0].body == b"cpu f=1 1\ncpu f=2 2\n"


@pytest.mark.parametrize(
    ("encoding", "body", "status", "text"),
    [
        ("gzip", b"not gzip", 400, "error decoding gzip stream: "),
        ("gzip", gzip.compress(b"cpu f=1", mtime=0)[:-4], 400, "error decoding gzip stream: "),
        (
            "gzip",
            gzip.compress(b"x" * 1_000_000, mtime=0),
            413,
            "max request size (10000 bytes) exceeded",
        ),
        ("br", b"", 400, "unacceptable content-encoding: br"),
        ("identity", b"x" * 10_001, 413, "max request size (10000 bytes) exceeded"),
    ],
)
def test_bodies_that_are_refused(
    client: httpx.Client, encoding: str, body: bytes, status: int, text: str
) -> None:
    answer = client.post(
        "/api/v3/write_lp?db=db", content=body, headers={"content-encoding": encoding}
    )

    assert answer.status_code == status
    assert answer.text.startswith(text)


def test_oversized_body_is_refused_and_the_connection_lives_on(client: httpx.Client) -> None:
    answers = [client.post("/api/v3/write_lp?db=db", content=b"x" * 3_000_000) for _ in range(3)]

    assert {a.status_code for a in answers} == {413}
    assert client.post("/api/v3/write_lp?db=db", content=LINE).status_code == 204


def test_oversized_body_without_a_declared_length_is_refused(client: httpx.Client) -> None:
    answer = client.post("/api/v3/write_lp?db=db", content=(b"x" * 1000 for _ in range(100)))

    assert answer.status_code == 413


def test_v2_tells_an_oversized_body_in_its_own_way(client: httpx.Client) -> None:
    answer = client.post("/api/v2/write?bucket=db", content=b"x" * 10_001)

    assert answer.status_code == 413
    assert answer.json()["code"] == "request too large"


def test_body_that_stops_coming_is_given_up(edge: HttpServer, parts: EdgeParts) -> None:
    with socket.create_connection(edge.address, timeout=5.0) as slow:
        slow.sendall(b"POST /api/v3/write_lp?db=d HTTP/1.1\r\nHost: x\r\n")
        slow.sendall(b"Content-Length: 100\r\n\r\ncpu f=1")

        assert slow.recv(100).startswith(b"HTTP/1.1 408 ")
    assert parts.writes.seen == []


def test_client_that_leaves_in_its_body_writes_nothing(
    edge: HttpServer, client: httpx.Client, parts: EdgeParts
) -> None:
    with socket.create_connection(edge.address, timeout=5.0) as leaving:
        leaving.sendall(b"POST /api/v3/write_lp?db=d HTTP/1.1\r\nHost: x\r\n")
        leaving.sendall(b"Content-Length: 100\r\n\r\ncpu f=1")

    assert client.get("/health").status_code == 200
    assert parts.writes.seen == []


@pytest.mark.parametrize(
    ("error", "status", "retry"),
    [
        (Busy("too many writes"), 503, "1"),
        (HotBufferFull(10), 503, "1"),
        (Stopping(), 503, "1"),
        (DiskFailed("disk full"), 503, "1"),
        (ValueError("a defect"), 500, None),
    ],
)
def test_refusals_of_the_writer(
    client: httpx.Client, parts: EdgeParts, error: Exception, status: int, retry: str | None
) -> None:
    parts.writes.refusal = error

    v3 = client.post("/api/v3/write_lp?db=db", content=LINE)
    v2 = client.post("/api/v2/write?bucket=db", content=LINE)

    assert (v3.status_code, v3.headers.get("retry-after")) == (status, retry)
    assert v2.status_code == status
    assert set(v2.json()) == {"code", "message"}
    assert "a defect" not in v3.text


def test_oversized_body_is_refused_before_it_is_asked_for(edge: HttpServer) -> None:
    with socket.create_connection(edge.address, timeout=5.0) as client:
        client.sendall(b"POST /api/v3/write_lp?db=d HTTP/1.1\r\nHost: x\r\n")
        client.sendall(b"Expect: 100-continue\r\nContent-Length: 100000\r\n\r\n")

        assert client.recv(100).startswith(b"HTTP/1.1 413 ")


def test_body_is_asked_for_when_the_client_waits(edge: HttpServer, parts: EdgeParts) -> None:
    with socket.create_connection(edge.address, timeout=5.0) as client:
        client.sendall(b"POST /api/v3/write_lp?db=d HTTP/1.1\r\nHost: x\r\n")
        client.sendall(b"Expect: 100-continue\r\nContent-Length: 7\r\n\r\n")
        asked = client.recv(100)
        client.sendall(b"cpu f=1")
        answer = client.recv(100)

    assert asked == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert answer.startswith(b"HTTP/1.1 204 ")
    assert parts.writes.seen[0].body == b"cpu f=1"
