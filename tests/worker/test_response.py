from collections.abc import Iterator

import pytest

from worker.response import InvalidResponse, make_response

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


def _parts() -> Iterator[object]:
    yield "a"
    yield b"b"
    yield 3


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
        (_parts(), 200, HTML, b"ab"),
        (FlaskLike(), 418, (*HTML, ("X-Tea", "pot")), b"tea"),
        (GenuineFlask(), 201, GenuineFlask.headers, b"\xff"),
    ],
)
def test_cores_forms_are_understood(
    returned: object, status: int, headers: tuple[tuple[str, str], ...], body: bytes
) -> None:
    response = make_response(returned)

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

    assert (response.status, response.headers, response.body) == (status, headers, body)


@pytest.mark.parametrize(
    ("returned", "complaint"),
    [
        (None, "Unsupported return type from Python function"),
        (200, "Unsupported return type from Python function"),
        (("hi", 200, "headers"), "expected a dictionary in header item"),
        (("hi", 200, None), "expected a dictionary in header item"),
        ((True, {}, "x"), "expected a dictionary in header item"),
        (("hi", True), "invalid status code: 1"),
        (("hi", 70000), "invalid status code: 70000"),
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
