"""One file of the log, open for appending.

A record is written by one vectored write and is acknowledged only after the sync. Room for records
is reserved ahead, in steps, so that most syncs need not make a new file size durable; the zeros
after the last record are an unused tail. After a write that failed the file is cut back to the
last good record; a full disk is then no reason to refuse later records, a failed sync is. Reading
is in `scan`.

`SegmentWriter` belongs to the thread that appends.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from engine.faultpoint import reach
from engine.wal.blocks import Buffer
from engine.wal.disk import Disk
from engine.wal.record import encode_segment_header, segment_seed

__all__ = ["SegmentFile", "SegmentWriter", "WriteFailed"]

_IOV_MAX = 1024
# A full disk, quota or limit may have room again; after any other failure nothing is known.
_PASSING = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# So may the tables of open files; that a file was not created is known.
_NOT_CREATED = (*_PASSING, errno.EMFILE, errno.ENFILE, errno.ENOMEM)


@dataclass(frozen=True, slots=True)
class SegmentFile:
    """A segment by its place: the name is the first sequence with 20 digits."""

    path: Path
    first_sequence: int

    @classmethod
    def within(cls, directory: Path, first_sequence: int) -> Self:
        """Name the segment that begins with a sequence."""
        return cls(directory / f"{first_sequence:020}.wal", first_sequence)


class WriteFailed(Exception):
    """A segment could not be written; what was not acknowledged has been cut off if possible.

    Args:
        path: of the file.
        cause: what the system said.
        is_final: whether later appends must be refused.
    """

    def __init__(self, path: Path, cause: OSError, *, is_final: bool) -> None:
        super().__init__(f"{path}: {cause.strerror}")
        self.path = path
        self.cause = cause
        self.is_final = is_final


class SegmentWriter:
    """A segment that is open for appending; one thread."""

    def __init__(
        self,
        file: SegmentFile,
        descriptor: int,
        seed: int,
        end: int,
        disk: Disk,
        reserve_bytes: int = 1,
    ) -> None:
        """Continue a segment.

        Args:
            file: its place.
            descriptor: for writing.
            seed: of its checksums.
            end: where its last good record ends.
            disk: the calls that change the disk.
            reserve_bytes: room is reserved up to a multiple of this.
        """
        self.file = file
        self.seed = seed
        self.end = end
        self._descriptor = descriptor
        self._disk = disk
        self._reserve_bytes = reserve_bytes
        self._reserved = end

    def __repr__(self) -> str:
        """Describe the segment in a sentence."""
        return f"<segment {self.file.path.name}: {self.end} bytes>"

    @classmethod
    def resume(cls, file: SegmentFile, seed: int, end: int, disk: Disk, reserve_bytes: int) -> Self:
        """Open a segment after its last good record.

        Raises:
            OSError: the disk refused.
        """
        return cls(file, disk.open(file.path), seed, end, disk, reserve_bytes)

    @classmethod
    def create(
        cls, file: SegmentFile, disk: Disk, reserve_bytes: int = 1, follows: int | None = None
    ) -> Self:
        """Create a segment with a durable header and name, and no record.

        The header is synced before any record is written, so that a damaged header with records
        after it can only be damage.

        Args:
            file: its place.
            disk: the calls that change the disk.
            reserve_bytes: room is reserved up to a multiple of this.
            follows: the sequence after the segment before it, if entries are missing in between.

        Raises:
            WriteFailed: as `append`; the file may be there.
        """
        try:
            descriptor = disk.create(file.path)
        except OSError as error:
            is_final = error.errno not in _NOT_CREATED
            raise WriteFailed(file.path, error, is_final=is_final) from error
        salt = os.urandom(8)
        writer = cls(file, descriptor, segment_seed(salt), 0, disk, reserve_bytes)
        try:
            writer.append([encode_segment_header(file.first_sequence, salt, follows)])
            disk.sync_directory(file.path.parent)
        except OSError as error:
            writer.close()
            raise WriteFailed(file.path, error, is_final=True) from error
        except WriteFailed:
            writer.close()
            raise
        return writer

    def append(self, buffers: Sequence[Buffer]) -> None:
        """Write a record and wait until it is durable.

        Raises:
            WriteFailed: it is not; passing when the disk was full and the file is as before.
        """
        try:
            written = self._write(buffers)
        except OSError as error:
            is_final = error.errno not in _PASSING
            is_cut = self._cut_back()
            raise WriteFailed(self.file.path, error, is_final=is_final or not is_cut) from error
        reach("wal.record_written")
        try:
            self._disk.sync(self._descriptor)
        except OSError as error:
            # The kernel may have dropped the pages: a second sync would succeed and mean nothing.
            self._cut_back()
            raise WriteFailed(self.file.path, error, is_final=True) from error
        reach("wal.record_synced")
        self.end += written

    def close(self) -> None:
        """Give back what was reserved and not used, and close the file."""
        if self._reserved > self.end:
            self._cut_back()
        os.close(self._descriptor)

    def _write(self, buffers: Sequence[Buffer]) -> int:
        rest = [memoryview(buffer).cast("B") for buffer in buffers if len(buffer)]
        self._reserve(self.end + sum(map(len, rest)))
        written = 0
        while rest:
            taken = self._disk.write(self._descriptor, rest[:_IOV_MAX], self.end + written)
            written += taken
            rest = _after(rest, taken)
        return written

    def _reserve(self, end: int) -> None:
        if end <= self._reserved:
            return
        wanted = end + -end % self._reserve_bytes
        # Without it the write is only slower; whether there is room, the write itself will tell.
        with suppress(OSError):
            self._disk.reserve(self._descriptor, self._reserved, wanted - self._reserved)
        self._reserved = wanted

    def _cut_back(self) -> bool:
        self._reserved = self.end
        try:
            self._disk.truncate(self._descriptor, self.end)
        except OSError:
            return False
        return True


def _after(buffers: Sequence[memoryview], taken: int) -> list[memoryview]:
    """Return what is left of buffers when their first bytes have been written."""
    for number, buffer in enumerate(buffers):
        if taken < len(buffer):
            return [buffer[taken:], *buffers[number + 1 :]]
        taken -= len(buffer)
    return []
