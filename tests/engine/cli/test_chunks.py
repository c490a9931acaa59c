"""Cutting line protocol at the ends of lines."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.cli.chunks import chunked, logical_lines

LARGE = 1 << 20


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        (b"a f=1\nb f=2\n", [b"a f=1\n", b"b f=2\n"]),
        (b'a f="one\ntwo"\nb f=2', [b'a f="one\ntwo"\n', b"b f=2"]),
        (b'a f="x\ny",g="z\n" 1\nb f=1\n', [b'a f="x\ny",g="z\n" 1\n', b"b f=1\n"]),
        (b'a f="x\\"\ny"\nb f=1\n', [b'a f="x\\"\ny"\n', b"b f=1\n"]),
        (b'a f="x\\\\"\nb f=1\n', [b'a f="x\\\\"\n', b"b f=1\n"]),
        (b'a,t="odd f=1\nb f=1\n', [b'a,t="odd f=1\n', b"b f=1\n"]),
        (b'a,t=x\\ "odd f=1\nb f=1\n', [b'a,t=x\\ "odd f=1\n', b"b f=1\n"]),
        (b'"odd f=1\nb f=1\n', [b'"odd f=1\n', b"b f=1\n"]),
        (b'# "comment\nb f=1\n', [b'# "comment\n', b"b f=1\n"]),
        (b'  a f="x\ny"\nb f=1\n', [b'  a f="x\ny"\n', b"b f=1\n"]),
        (b'a f="never\nclosed\n', [b'a f="never\nclosed\n']),
        (b"", []),
    ],
)
def test_strings_hold_lines_together(text: bytes, lines: list[bytes]) -> None:
    assert list(logical_lines(io.BytesIO(text), LARGE)) == lines


def test_string_that_never_closes_is_given_up_at_the_size() -> None:
    text = b'a f="open\n' + b"b f=1\n" * 1000

    lines = list(logical_lines(io.BytesIO(text), 100))

    assert b"".join(lines) == text
    assert len(lines) > 900


def test_chunks_tell_their_lines_and_places() -> None:
    text = b'a f="1\n2"\n' + b"b f=1\n" * 3 + b"c f=" + b"1" * 50 + b"\nd f=1"

    chunks = list(chunked(io.BytesIO(text), 16))

    assert [chunk.body for chunk in chunks] == [
        b'a f="1\n2"\nb f=1\n',
        b"b f=1\nb f=1\n",
        b"c f=" + b"1" * 50 + b"\n",
        b"d f=1",
    ]
    assert [chunk.lines for chunk in chunks] == [2, 2, 1, 1]
    assert [chunk.first_line for chunk in chunks] == [1, 4, 6, 7]


@given(st.text(alphabet='a"\\ \n,=#', max_size=200), st.integers(1, 60))
def test_nothing_is_lost_or_cut_inside_a_line(text: str, max_bytes: int) -> None:
    body = text.encode()

    chunks = list(chunked(io.BytesIO(body), max_bytes))

    assert b"".join(chunk.body for chunk in chunks) == body
    assert all(chunk.body.endswith(b"\n") for chunk in chunks[:-1])
    assert all(len(chunk.body) <= max_bytes or chunk.lines == 1 for chunk in chunks)
