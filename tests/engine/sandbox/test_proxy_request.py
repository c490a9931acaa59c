import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.sandbox.proxy_request import ProxyRequest, Refusal, Target, parse_head


def parsed(*lines: str) -> ProxyRequest:
    request = parse(*lines)
    assert isinstance(request, ProxyRequest), request
    return request


def parse(*lines: str) -> ProxyRequest | Refusal:
    return parse_head("\r\n".join([*lines, "", ""]).encode("latin-1"))


@pytest.mark.parametrize(
    ("written", "target"),
    [
        ("example.org:443", Target("example.org", 443)),
        ("EXAMPLE.org.:443", Target("example.org", 443)),
        ("[2606:4700::1111]:443", Target("2606:4700::1111", 443)),
        ("[2606:4700:0::1111]:443", Target("2606:4700::1111", 443)),
        ("[::ffff:127.0.0.1]:80", Target("127.0.0.1", 80)),
    ],
)
def test_a_tunnel_has_a_target_and_no_path(written: str, target: Target) -> None:
    request = parsed(f"CONNECT {written} HTTP/1.1", f"Host: {written}")

    assert request.is_tunnel
    assert request.target == target


def test_a_plain_request_is_rewritten_for_its_target() -> None:
    credentials = base64.b64encode(b"bulkhead:secret").decode()

    request = parsed(
        "POST http://example.org:8080/a?b=c HTTP/1.1",
        "Host: example.org:8080",
        f"Proxy-Authorization: Basic {credentials}",
        "Proxy-Connection: keep-alive",
        "Connection: keep-alive, X-Mine",
        "Keep-Alive: 5",
        "Upgrade: websocket",
        "X-Mine: of the connection",
        "X-Yours: of the request",
        "Content-Length: 12",
    )

    assert request.credentials == b"bulkhead:secret"
    assert request.body_bytes == 12
    assert request.path == "/a?b=c"
    assert request.head == (
        b"POST /a?b=c HTTP/1.1\r\nhost: example.org:8080\r\nx-yours: of the request\r\n"
        b"content-length: 12\r\nconnection: close\r\n\r\n"
    )


def test_length_and_host_stay_even_when_the_client_calls_them_its_connections() -> None:
    request = parsed(
        "PUT http://example.org HTTP/1.1",
        "Host: example.org",
        "Content-Length: 3",
        "Connection: content-length, host",
    )

    assert request.head == (
        b"PUT / HTTP/1.1\r\nhost: example.org\r\ncontent-length: 3\r\nconnection: close\r\n\r\n"
    )


@pytest.mark.parametrize(
    "lines",
    [
        ["GET http://a.org/ HTTP/1.1", "Host: b.org"],
        ["GET http://a.org/ HTTP/1.1", "Host: a.org:81"],
        ["GET http://a.org/ HTTP/1.1", "Host: a.org", "Host: a.org"],
        ["GET http://a.org/ HTTP/1.1"],
        ["GET http://a.org/ HTTP/1.1", "Host : a.org"],
        ["GET http://a.org/ HTTP/1.1", "Host: a.org", " folded: line"],
        ["GET http://a.org/ HTTP/1.1", "Host: a.org", "X: a\nHost: b.org"],
        ["GET http://a.org/ HTTP/1.1", "Host: a.org", "X: a\rY: b"],
        ["GET http://a.org/ HTTP/1.1", "Host: a.org", "X: a\0"],
        ["GET http://a.org/ HTTP/1.1", "Host: a.org", ": no name"],
        ["GET http://a.org/ HTTP/1.1", "Host: a.org", "Content-Length: 1", "Content-Length: 2"],
        ["GET http://a.org/ HTTP/1.1", "Host: a.org", "Content-Length: 1", "Content-Length: 1"],
        ["GET http://a.org/ HTTP/1.1", "Host: a.org", "Content-Length: 1, 2"],
        ["GET http://a.org/ HTTP/1.1", "Host: a.org", "Content-Length: +1"],
        ["GET http://a.org/ HTTP/1.1", "Host: a.org", "Content-Length: 0x1"],
        ["GET http://a.org/ HTTP/1.1", "Host: a.org", "Content-Length:"],
        ["GET http://a.org@b.org/ HTTP/1.1", "Host: b.org"],
        ["GET http://a.org:0/ HTTP/1.1", "Host: a.org:0"],
        ["GET http://a.org:65536/ HTTP/1.1", "Host: a.org:65536"],
        ["GET http://a.org/#part HTTP/1.1", "Host: a.org"],
        ["GET http:///a HTTP/1.1", "Host: a.org"],
        ["GET https://a.org/ HTTP/1.1", "Host: a.org"],
        ["GET ftp://a.org/ HTTP/1.1", "Host: a.org"],
        ["GET /a HTTP/1.1", "Host: a.org"],
        ["GET a.org:80 HTTP/1.1", "Host: a.org"],
        ["GET  http://a.org/ HTTP/1.1", "Host: a.org"],
        ["GET http://a.org/ b HTTP/1.1", "Host: a.org"],
        ["GET http://a.org/ HTTP/2.0", "Host: a.org"],
        ["GET http://a.org/"],
        ["GET http://\xe4.org/ HTTP/1.1", "Host: \xe4.org"],
        ["CONNECT a.org HTTP/1.1"],
        ["CONNECT a.org:443 HTTP/1.1", "Host: b.org:443"],
        ["CONNECT a.org:443 HTTP/1.1", "Host: a.org:80"],
        ["CONNECT http://a.org:443 HTTP/1.1"],
        ["CONNECT a.org:443/ HTTP/1.1"],
        ["CONNECT [fe80::1%eth0]:443 HTTP/1.1"],
        ["CONNECT [a.org]:443 HTTP/1.1"],
        ["CONNECT ::1:443 HTTP/1.1"],
        ["CONNECT .:443 HTTP/1.1"],
        [f"CONNECT {'a' * 254}:443 HTTP/1.1"],
        ["CONNECT a.org:443\r HTTP/1.1"],
        ["", "CONNECT a.org:443 HTTP/1.1"],
    ],
)
def test_what_two_readers_could_read_differently_is_refused(lines: list[str]) -> None:
    refusal = parse(*lines)

    assert isinstance(refusal, Refusal)
    assert refusal.status == 400


@pytest.mark.parametrize(
    ("field", "status"),
    [("Transfer-Encoding: chunked", 411), ("Transfer-Encoding: x\r\nContent-Length: 1", 411)],
)
def test_a_body_without_a_length_is_refused(field: str, status: int) -> None:
    refusal = parse("POST http://a.org/ HTTP/1.1", "Host: a.org", field)

    assert isinstance(refusal, Refusal)
    assert refusal.status == status


def test_too_many_fields_are_refused() -> None:
    refusal = parse("GET http://a.org/ HTTP/1.1", "Host: a.org", *(["X: y"] * 100))

    assert refusal == Refusal(431, "more than 100 header fields")


@pytest.mark.parametrize(
    "fields",
    [
        [],
        ["Proxy-Authorization: Bearer abc"],
        ["Proxy-Authorization: Basic !!!"],
        ["Proxy-Authorization: Basic YTpi", "Proxy-Authorization: Basic YTpi"],
    ],
)
def test_credentials_that_cannot_be_read_are_none(fields: list[str]) -> None:
    request = parsed("CONNECT a.org:443 HTTP/1.0", *fields)

    assert request.credentials == b""


@given(st.binary(max_size=200))
def test_garbage_is_refused_with_one_line_of_text(garbage: bytes) -> None:
    answer = parse_head(garbage + b"\r\n\r\n")

    assert isinstance(answer, Refusal)
    assert answer.text.isprintable()


FIELD = st.sampled_from(
    ["Host: a.org", "Host: b.org", "Content-Length: 4", "Connection: host", "X: y", "TE: trailers",
     "Transfer-Encoding: chunked", "proxy-x: y", " folded", "Content-length : 5", "connection: x"]
)  # fmt: skip


@given(st.lists(FIELD, max_size=6))
def test_whatever_is_passed_on_has_one_host_one_length_and_ends(fields: list[str]) -> None:
    answer = parse("POST http://a.org/ HTTP/1.1", *fields)

    if isinstance(answer, ProxyRequest):
        lines = answer.head.lower().split(b"\r\n")
        names = [line.partition(b":")[0] for line in lines[1:-2]]
        assert b"host: a.org" in lines
        assert names.count(b"host") == 1
        assert names.count(b"content-length") <= 1
        assert lines.count(b"connection: close") == names.count(b"connection") == 1
        assert not {b"transfer-encoding", b"te", b"proxy-x"} & set(names)
