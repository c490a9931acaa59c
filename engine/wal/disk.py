"""The few calls by which the log changes the disk, in one place so that tests can let them fail.

Any thread; every method raises OSError as the system reports it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from engine.folders import sync_folder
from engine.wal.blocks import Buffer

__all__ = ["Disk"]


class Disk:
    """The real disk."""

    def create(self, path: Path) -> int:
        """Create a file that must not exist; return a descriptor for writing."""
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)

    def open(self, path: Path) -> int:
        """Return a descriptor for writing to a file."""
        return os.open(path, os.O_WRONLY)

    def reserve(self, descriptor: int, start: int, length: int) -> None:
        """Give a range of a file its place on the disk; what was not written reads as zeros."""
        os.posix_fallocate(descriptor, start, length)

    def write(self, descriptor: int, buffers: Sequence[Buffer | memoryview], offset: int) -> int:
        """Write buffers, at most `IOV_MAX` of them; return how many bytes were taken."""
        return os.pwritev(descriptor, buffers, offset)

    def sync(self, descriptor: int) -> None:
        """Wait until the file's content, and the size needed to read it, are durable."""
        os.fdatasync(descriptor)

    def truncate(self, descriptor: int, size: int) -> None:
        """Cut a file."""
        os.ftruncate(descriptor, size)

    def unlink(self, path: Path) -> None:
        """Remove a file's name; no error when there is none."""
        path.unlink(missing_ok=True)

    def sync_directory(self, path: Path) -> None:
        """Wait until names that were made or removed in a directory are durable."""
        sync_folder(path)
