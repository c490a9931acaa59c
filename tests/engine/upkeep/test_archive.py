"""Archives in pieces."""

import io
import tarfile
from collections.abc import Callable
from typing import BinaryIO

import pytest
from crc32c import crc32c
from hypothesis import given
from hypothesis import strategies as st

from engine.upkeep.archive import (
    Member,
    archive_bytes,
    end_pieces,
    member_bytes,
    member_pieces,
)

names = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=200)


def opening(content: bytes) -> Callable[[], BinaryIO]:
    return lambda: io.BytesIO(content)


def drained(member: Member) -> tuple[bytes, int | None]:
    """Return the bytes of a member and the checksum of what it held."""
    pieces, out = member_pieces(member), b""
    while True:
        try:
            out += next(pieces)
        except StopIteration as end:
            return out, end.value


@given(st.lists(st.tuples(names, st.binary(max_size=3000)), max_size=5))
def test_archive_is_read_by_others_and_as_long_as_was_said(
    files: list[tuple[str, bytes]],
) -> None:
    members = [Member(f"d/{name}x", len(body), 5, opening(body)) for name, body in files]

    raw = b"".join(drained(member)[0] for member in members) + b"".join(end_pieces())

    assert len(raw) == archive_bytes(sum(member_bytes(m.path, m.size_bytes) for m in members))
    with tarfile.open(fileobj=io.BytesIO(raw), mode="r|") as tar:
        seen = [(m.name, tar.extractfile(m).read()) for m in tar]
    assert [body for _, body in seen] == [body for _, body in files]
    assert [name.rstrip("/") for name, _ in seen] == [m.path.rstrip("/") for m in members]


def test_checksum_is_that_of_the_content() -> None:
    body = b"x" * (3 * 1024 * 1024 + 7)

    raw, checksum = drained(Member("node/f", len(body), 0, opening(body)))

    assert checksum == crc32c(body)
    assert body in raw


def test_no_piece_is_larger_than_a_mebibyte() -> None:
    body = b"x" * (5 * 1024 * 1024)

    assert max(map(len, member_pieces(Member("f", len(body), 0, opening(body))))) == 1024 * 1024


def _refuse() -> BinaryIO:
    raise FileNotFoundError(2, "No such file or directory")


@pytest.mark.parametrize("source", [opening(b"half"), opening(b""), _refuse])
def test_file_that_is_too_short_is_filled_and_told(source: Callable[[], BinaryIO]) -> None:
    raw, checksum = drained(Member("f", 3000, 0, source))

    assert checksum is None
    assert len(raw) == member_bytes("f", 3000)


def test_file_that_has_grown_is_cut() -> None:
    raw, checksum = drained(Member("f", 4, 0, opening(b"12345678")))

    assert checksum == crc32c(b"1234")
    assert b"5" not in raw[512:]
