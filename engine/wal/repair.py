"""Cut an unfinished write off the log, and keep what was cut.

The tail goes to `<segment>.broken` (a number follows when that name is taken) and is durable
there before the segment is cut; the unused room at the end of the segment does not go with it.
Called once, while the log is opened, and by the command that repairs.
"""

from __future__ import annotations

import logging
import os
import shutil
from itertools import count
from pathlib import Path

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
    with path.open("rb") as source, kept.open("xb") as target:
        source.seek(offset)
        shutil.copyfileobj(source, target)
        target.truncate(_used(path, offset))
        disk.sync(target.fileno())
    disk.sync_directory(path.parent)
    return kept


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
