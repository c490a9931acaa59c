"""Which pages may read an answer."""

import pytest

from engine.http.cors import allow_origin, preflight

A, B = "https://a.example", "https://b.example"
VARY = (b"vary", b"Origin")


@pytest.mark.parametrize(
    ("origins", "origin", "expected"),
    [
        (("*",), None, [(b"access-control-allow-origin", b"*")]),
        (("*",), A, [(b"access-control-allow-origin", b"*")]),
        ((A,), A, [VARY, (b"access-control-allow-origin", A.encode())]),
        (
            (A, B),
            "https://B.example",
            [VARY, (b"access-control-allow-origin", b"https://B.example")],
        ),
        ((A,), B, [VARY]),
        ((A,), None, [VARY]),
        ((), A, [VARY]),
        ((A,), "https://\xe9.example", [VARY]),
    ],
)
def test_the_origin_is_named_when_it_is_allowed(
    origins: tuple[str, ...], origin: str | None, expected: list[tuple[bytes, bytes]]
) -> None:
    assert allow_origin(origins, origin) == expected


def test_a_preflight_of_another_origin_allows_nothing() -> None:
    assert preflight((A,), B, "authorization") == [VARY]


@pytest.mark.parametrize(
    ("names", "allowed"),
    [
        ("authorization, x-a", b"authorization, x-a"),
        (None, b"*"),
        ("", b"*"),
        ("a\r\nb", b"*"),
        ("\xe9", b"*"),
    ],
)
def test_a_preflight_repeats_the_wanted_headers(names: str | None, allowed: bytes) -> None:
    headers = dict(preflight(("*",), A, names))

    assert headers[b"access-control-allow-headers"] == allowed
    assert headers[b"access-control-allow-methods"] == b"GET, POST, HEAD, OPTIONS"
    assert headers[b"access-control-max-age"] == b"86400"
