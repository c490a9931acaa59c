"""Decompression within bounds."""

import gzip
import time
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import InvalidParameter
from engine.http.bodies import gunzip
from engine.http.errors import RequestTooLarge


@given(st.lists(st.binary(max_size=50_000), max_size=4))
def test_members_come_back_joined(contents: list[bytes]) -> None:
    raw = b"".join(gzip.compress(content, 1) for content in contents)

    assert gunzip(raw, 1 << 20) == b"".join(contents)


@given(st.binary(max_size=2000), st.integers(0, 3000))
def test_bound_is_exact(content: bytes, max_bytes: int) -> None:
    raw = gzip.compress(content[:1000]) + gzip.compress(content[1000:])

    if len(content) > max_bytes:
        with pytest.raises(RequestTooLarge):
            gunzip(raw, max_bytes)
    else:
        assert gunzip(raw, max_bytes) == content


@given(st.binary(min_size=1, max_size=200))
def test_garbage_is_the_callers_fault(raw: bytes) -> None:
    try:
        gunzip(raw, 1000)
    except (InvalidParameter, RequestTooLarge) as error:
        assert str(error)  # noqa: PT017  any other error fails the test


@given(st.data())
def test_cut_stream_is_refused(data: st.DataObject) -> None:
    raw = gzip.compress(b"line of text " * 50)
    cut = data.draw(st.integers(1, len(raw) - 1))

    with pytest.raises(InvalidParameter, match="error decoding gzip stream"):
        gunzip(raw[:cut], 10_000)


def test_bomb_is_refused_without_being_unpacked() -> None:
    packer = zlib.compressobj(9, wbits=31)
    bomb = b"".join([*(packer.compress(b"\0" * (1 << 20)) for _ in range(200)), packer.flush()])
    started = time.thread_time()

    with pytest.raises(RequestTooLarge, match="100000 bytes"):
        gunzip(bomb, 100_000)

    assert time.thread_time() - started < 0.2


def test_multitude_of_empty_members_is_refused_quickly() -> None:
    raw = gzip.compress(b"") * 100_000
    started = time.thread_time()

    with pytest.raises(InvalidParameter, match="too many members"):
        gunzip(raw, 1000)

    assert time.thread_time() - started < 0.5
