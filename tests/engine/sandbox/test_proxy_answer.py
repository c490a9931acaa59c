import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.sandbox.proxy_answer import closing, is_interim


def test_an_answer_says_that_the_connection_ends() -> None:
    head = b"HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nKeep-Alive: 5\r\nX: connection\r\n\r\n"

    assert closing(head) == b"HTTP/1.1 200 OK\r\nX: connection\r\nconnection: close\r\n\r\n"


@pytest.mark.parametrize(
    "head", [b"HTTP/1.1 100 Continue\r\n\r\n", b"SSH-2.0-x\r\n\r\n", b"HTTP/1.1 2000 x\r\n\r\n"]
)
def test_other_heads_stay_as_they_are(head: bytes) -> None:
    assert closing(head) == head


def test_interim_answers_are_told_from_the_last() -> None:
    assert is_interim(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n")
    assert not is_interim(b"HTTP/1.1 404\r\n\r\n")


@given(st.binary(max_size=100))
def test_garbage_is_passed_on_or_closed(garbage: bytes) -> None:
    head = garbage + b"\r\n\r\n"

    assert closing(head) == head or closing(head).endswith(b"\r\nconnection: close\r\n\r\n")
