"""The lock on a log's directory: one process at a time appends to it. Any thread."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from engine.errors import LogInUse
from engine.wal.disk import Disk

__all__ = ["lock_directory"]


def lock_directory(directory: Path, disk: Disk) -> int:
    """Make the directory if need be; return a descriptor that holds its lock until it is closed.

    Raises:
        LogInUse: another process holds it.
        OSError: the disk refused.
    """
    if not directory.exists():
        directory.mkdir(parents=True)
        disk.sync_directory(directory.parent)
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise LogInUse(
            f"the write-ahead log in {directory} is in use by another server; "
            "stop that one, or choose another --data-dir"
        ) from error
    return descriptor
