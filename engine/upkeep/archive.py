"""A tar archive as a stream of pieces, made from members whose sizes are known.

The length of the archive is known before its first byte, and no more than one piece of one file is
in memory. What a file has become too short for is filled with zeros: the archive stays readable,
and the checksum tells.
"""

from __future__ import annotations

import logging
import tarfile
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from crc32c import crc32c

__all__ = ["Member", "archive_bytes", "end_pieces", "member_bytes", "member_pieces"]

log = logging.getLogger(__name__)

_PIECE_BYTES = 1024 * 1024
_END = bytes(2 * tarfile.BLOCKSIZE)


@dataclass(frozen=True, slots=True)
class Member:
    """A file of an archive.

    Args:
        path: in the archive.
        size_bytes: of which it shall have so many bytes.
        modified_s: seconds since 1970.
        open: opens it; raises OSError when it is gone.
        crc32c: of what it must hold, when that is known already.
    """

    path: str
    size_bytes: int
    modified_s: int
    open: Callable[[], BinaryIO]
    crc32c: int | None = None


def member_bytes(path: str, size_bytes: int) -> int:
    """Return the bytes that a file takes in an archive."""
    return len(_header(path, size_bytes, 0)) + size_bytes + len(_padding(size_bytes))


def archive_bytes(members_bytes: int) -> int:
    """Return the bytes of an archive whose members take so many."""
    return members_bytes + len(_END)


def member_pieces(member: Member) -> Generator[bytes, None, int | None]:
    """Yield a file with its header.

    Returns:
        crc32c of the content that was read, without what was filled up; None when it was short.
    """
    yield _header(member.path, member.size_bytes, member.modified_s)
    left, checksum = member.size_bytes, 0
    for piece in _content(member):
        checksum = crc32c(piece, checksum)
        left -= len(piece)
        yield piece
    for at in range(0, left, _PIECE_BYTES):
        yield bytes(min(_PIECE_BYTES, left - at))
    yield _padding(member.size_bytes)
    return None if left else checksum


def end_pieces() -> Iterator[bytes]:
    """Yield what stands behind the last member."""
    yield _END


def _content(member: Member) -> Iterator[bytes]:
    left = member.size_bytes
    try:
        with member.open() as file:
            while left and (piece := file.read(min(_PIECE_BYTES, left))):
                left -= len(piece)
                yield piece
    except OSError as error:
        log.warning(
            "a file could not be read for a backup",
            extra={"path": member.path, "reason": str(error)},
        )


def _header(path: str, size_bytes: int, modified_s: int) -> bytes:
    named = tarfile.TarInfo(path)
    named.size, named.mtime, named.mode = size_bytes, modified_s, 0o600
    return named.tobuf(tarfile.GNU_FORMAT)


def _padding(size_bytes: int) -> bytes:
    return bytes(-size_bytes % tarfile.BLOCKSIZE)
