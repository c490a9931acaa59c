from collections.abc import Iterator

import pytest

from worker.response import InvalidResponse, make_response
from worker.streaming import Streamed
from worker.wire import LIMITS
from worker.wire.messages import Response

HTML = (("Content-Type", "text/html"),)
JSON = (("Content-Type", "application/json"),)
PLAIN = (("Content-Type", "text/plain"),)
BINARY = (("Content-Type", "application/octet-stream"),)


class FlaskLike:
    status_code = 418
    headers = {"X-Tea": "pot"}  # noqa: RUF012 - as a plugin would write it

    def __flask_response__(self) -> bool:
        return True

    def get_data(self) -> str:
        return "tea"


class GenuineFlask:
    """Has no probe, iterates over its body, and its headers are pairs."""

    status_code = 201
    headers = (("Content-Type", "text/x"), ("X-A", "1"))

    def get_data(self) -> bytes:
        return b"\xff"

    def __iter__(self) -> Iterator[bytes]:
        yield b"not this"


class FlaskLikeWithPairs(FlaskLike):
    headers = (  # type: ignore[assignment]  # as Werkzeug's are
        ("Set-Cookie", "a=1"),
        ("content-type", "a/b"),
        ("Set-Cookie", "b=2"),
    )


class Lazy:
    def __iter__(self) -> Iterator[object]:
        return iter(["a", b"b"])


def _parts(*items: object) -> Iterator[object]:
    yield from items


@pytest.mark.parametrize(
    ("returned", "status", "headers", "body"),
    [
        ("hi", 200, HTML, b"hi"),
        (b"\xff", 200, BINARY, b"\xff"),
        ({"a": 1}, 200, JSON, b'{"a": 1}'),
        ([1], 200, JSON, b"[1]"),
        (("hi",), 200, HTML, b"hi"),
        (("hi", 201), 201, HTML, b"hi"),
        (({"a": 1}, 201), 201, JSON, b'{"a": 1}'),
        (("hi", {"X-A": "1"}), 200, (*HTML, ("X-A", "1")), b"hi"),
        (("hi", 201, {"X-A": "1"}), 201, (*HTML, ("X-A", "1")), b"hi"),
        (("hi", 201, {"content-type": "a/b"}), 201, (("content-type", "a/b"),), b"hi"),
        (("hi", {"X-A": "1"}, {"x-a": "2"}), 200, (*HTML, ("x-a", "2")), b"hi"),
        (("hi", "ignored"), 200, HTML, b"hi"),
        ((b"\xff", 201), 201, BINARY, b"\xff"),
        ((None,), 200, PLAIN, b"None"),
        ((200,), 200, PLAIN, b"200"),
        ((200, {"A": "b"}), 200, (*PLAIN, ("A", "b")), b"200"),
        ((), 200, HTML, b""),
        (("a", "b", "c", "d"), 200, HTML, b"abcd"),
        ({"a"}, 200, HTML, b"a"),
        (
            ("hi", {"Set-Cookie": ["a=1", "b=2"]}),
            200,
            (*HTML, ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")),
            b"hi",
        ),
        (
            FlaskLikeWithPairs(),
            418,
            (("content-type", "a/b"), ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")),
            b"tea",
        ),
        (FlaskLike(), 418, (*HTML, ("X-Tea", "pot")), b"tea"),
        (GenuineFlask(), 201, GenuineFlask.headers, b"\xff"),
    ],
)
def test_cores_forms_are_understood(
    returned: object, status: int, headers: tuple[tuple[str, str], ...], body: bytes
) -> None:
    response = make_response(returned)

    assert isinstance(response, Response)
    assert (response.status, response.headers, response.body) == (status, headers, body)


@pytest.mark.parametrize(
    ("returned", "status", "headers", "body"),
    [
        (
            (200, {"Content-Type": "application/json"}, "{}"),
            200,
            (("Content-Type", "application/json"),),
            b"{}",
        ),
        ((404, None, "no"), 404, HTML, b"no"),
        ((500, {}, {"error": "x"}), 500, JSON, b'{"error": "x"}'),
        ((200, {"A": "b"}, b"\xff"), 200, (*BINARY, ("A", "b")), b"\xff"),
        ((201, "made"), 201, HTML, b"made"),
    ],
)
def test_the_documented_order_is_understood(
    returned: object, status: int, headers: tuple[tuple[str, str], ...], body: bytes
) -> None:
    response = make_response(returned)

    assert isinstance(response, Response)
    assert (response.status, response.headers, response.body) == (status, headers, body)


@pytest.mark.parametrize(
    ("returned", "status", "headers", "parts"),
    [
        (_parts("a", b"b", 3, "c"), 200, HTML, [b"a", b"b", b"c"]),
        (_parts(3, b"b", "c"), 200, BINARY, [b"b", b"c"]),
        (_parts(), 200, HTML, []),
        (_parts("", "a"), 200, HTML, [b"a"]),
        (Lazy(), 200, HTML, [b"a", b"b"]),
        (iter(["a"]), 200, HTML, [b"a"]),
        ((_parts("a"),), 200, HTML, [b"a"]),
        ((_parts("a"), 201), 201, HTML, [b"a"]),
        ((_parts("a"), {"X-A": "1"}), 200, (*HTML, ("X-A", "1")), [b"a"]),
        ((_parts("a"), 201, {"content-type": "a/b"}), 201, (("content-type", "a/b"),), [b"a"]),
        ((202, {"X-A": "1"}, _parts(b"a")), 202, (*BINARY, ("X-A", "1")), [b"a"]),
        ((202, None, _parts("a")), 202, HTML, [b"a"]),
        ((202, _parts("a")), 202, HTML, [b"a"]),
    ],
)
def test_iterators_are_streams(
    returned: object, status: int, headers: tuple[tuple[str, str], ...], parts: list[bytes]
) -> None:
    streamed = make_response(returned)

    assert isinstance(streamed, Streamed)
    assert (streamed.status, streamed.headers, list(streamed.parts)) == (status, headers, parts)


def test_what_an_iterator_raises_before_its_first_part_is_raised_at_once() -> None:
    def failing() -> Iterator[str]:
        raise OSError("no")
        yield "never"

    with pytest.raises(OSError, match="no"):
        make_response(failing())


def test_a_large_part_is_cut_to_what_a_message_holds() -> None:
    body = bytes(LIMITS.chunk_bytes) + b"rest"

    streamed = make_response(iter([body]))

    assert isinstance(streamed, Streamed)
    assert [len(part) for part in streamed.parts] == [LIMITS.chunk_bytes, 4]


def test_a_stream_that_nobody_wants_closes_its_generator() -> None:
    closed = []

    def endless() -> Iterator[str]:
        try:
            while True:
                yield "a"
        finally:
            closed.append(True)

    streamed = make_response(endless())
    assert isinstance(streamed, Streamed)
    assert next(iter(streamed.parts)) == b"a"
    streamed.parts.close()

    assert closed == [True]


def test_more_headers_than_a_message_holds_are_refused() -> None:
    headers = {f"x-{number}": "1" for number in range(LIMITS.parameters)}

    with pytest.raises(InvalidResponse, match="1025 headers"):
        make_response(("hi", headers))


@pytest.mark.parametrize(
    ("returned", "complaint"),
    [
        (None, "Unsupported return type from Python function"),
        (200, "Unsupported return type from Python function"),
        (("hi", 200, "headers"), "expected a dictionary in header item"),
        (("hi", 200, None), "expected a dictionary in header item"),
        ((True, {}, "x"), "expected a dictionary in header item"),
        (("hi", True), "invalid status code: 1; it must be from 200 to 599"),
        (("hi", 70000), "invalid status code: 70000; it must be from 200 to 599"),
        (("hi", 101), "invalid status code: 101; it must be from 200 to 599"),
        ((100, {}, "hi"), "invalid status code: 100; it must be from 200 to 599"),
        (("hi", {"bad name": "x"}), "invalid header name: 'bad name'"),
        (("hi", {"": "x"}), "invalid header name: ''"),
        (("hi", {1: "x"}), "invalid header name: 1"),
    ],
)
def test_what_is_no_response_is_named(returned: object, complaint: str) -> None:
    with pytest.raises(InvalidResponse) as caught:
        make_response(returned)
    assert str(caught.value) == complaint


@pytest.mark.parametrize("value", ["a\nb", "a\r", "\x7f", "☃"])
def test_a_value_that_no_header_can_carry_becomes_empty(value: str) -> None:
    assert make_response(("hi", {"X": value})).headers[1] == ("X", "")


def test_what_the_value_raises_goes_on() -> None:
    with pytest.raises(TypeError, match="not JSON serializable"):
        make_response({"a": object()})
