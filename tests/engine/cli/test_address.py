"""Addresses to listen on."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.cli.address import is_loopback, parse_bind, url
from engine.cli.failures import BadValue


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.1:8181", ("127.0.0.1", 8181)),
        ("localhost:8183", ("localhost", 8183)),
        ("[::]:0", ("::", 0)),
        ("[::1]:80", ("::1", 80)),
    ],
)
def test_addresses_are_read(text: str, expected: tuple[str, int]) -> None:
    assert parse_bind(text) == expected


@pytest.mark.parametrize(
    "text", ["", "8181", ":8181", "host", "host:", "host:x", "::1:80", "h:65536"]
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(BadValue, match="--http-bind"):
        parse_bind(text)


@given(st.ip_addresses(), st.integers(0, 65535))
def test_urls_hold_addresses_that_read_back(host: object, port: int) -> None:
    assert parse_bind(url((str(host), port)).removeprefix("http://")) == (str(host), port)


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.1.2.3", True),
        ("::1", True),
        ("localhost", True),
        ("::", False),
        ("192.168.1.5", False),
        ("example.org", False),
    ],
)
def test_loopback_is_known(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected
