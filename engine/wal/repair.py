"""Cut an unfinished write off the log, and keep what was cut.

The tail goes to `<segment>.broken` (a number follows when that name is taken) and is durable
there before the segment is cut; the unused room at the end of the segment does not go with it.
Called once, while the log is opened, and by the command that repairs.
"""

from __future__ import annotations

import logging
import os
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import BinaryIO

from engine.wal.disk import Disk

__all__ = ["cut_tail", "remove_empty", "set_aside"]

log = logging.getLogger(__name__)
_BLOCK_BYTES = 64 * 1024


def cut_tail(path: Path, offset: int, reason: str, disk: Disk) -> None:
    """Cut a segment at an offset.

    Raises:
        OSError: the disk refused; the segment is as it was, or cut.
    """
    kept = _keep_tail(path, offset, disk)
    removed_bytes = kept.stat().st_size
    descriptor = disk.open(path)
    try:
        disk.truncate(descriptor, offset)
        disk.sync(descriptor)
    finally:
        os.close(descriptor)
    disk.sync_directory(path.parent)
    log.warning(
        "cut an unfinished write off the log",
        extra={
            "file": str(path),
            "offset": offset,
            "bytes": removed_bytes,
            "kept_as": str(kept),
            "reason": reason,
        },
    )


def remove_empty(path: Path, reason: str, disk: Disk) -> None:
    """Remove a segment that was begun and has no complete record; its bytes are kept.

    Raises:
        OSError: the disk refused.
    """
    size = _used(path, 0)
    kept = _keep_tail(path, 0, disk) if size else None
    disk.unlink(path)
    disk.sync_directory(path.parent)
    log.warning(
        "removed a log segment that was only begun",
        extra={"file": str(path), "bytes": size, "kept_as": str(kept), "reason": reason},
    )


def set_aside(path: Path, disk: Disk) -> None:
    """Rename a segment so that it is no part of the log any more.

    Raises:
        OSError: the disk refused.
    """
    path.rename(_free_name(path))
    disk.sync_directory(path.parent)


def _keep_tail(path: Path, offset: int, disk: Disk) -> Path:
    kept = _free_name(path)
    try:
        with path.open("rb") as source, kept.open("xb") as target:
            source.seek(offset)
            _copy(source, target, _used(path, offset))
            target.flush()
            disk.sync(target.fileno())
        disk.sync_directory(path.parent)
    except OSError:
        # Each try would leave one more, on a disk that is full already.
        with suppress(OSError):
            disk.unlink(kept)
        raise
    return kept


def _copy(source: BinaryIO, target: BinaryIO, length: int) -> None:
    while length and (block := source.read(min(_BLOCK_BYTES, length))):
        target.write(block)
        length -= len(block)


def _used(path: Path, offset: int) -> int:
    """Return how many bytes from an offset on are more than reserved room, in whole blocks."""
    used = 0
    with path.open("rb", buffering=0) as file:
        file.seek(offset)
        position = 0
        while data := file.read(_BLOCK_BYTES):
            position += len(data)
            if data.count(0) != len(data):
                used = position
    return used


def _free_name(path: Path) -> Path:
    plain = path.with_name(f"{path.name}.broken")
    numbered = (path.with_name(f"{path.name}.broken.{number}") for number in count(2))
    return plain if not plain.exists() else next(name for name in numbered if not name.exists())
