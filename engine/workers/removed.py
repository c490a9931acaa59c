"""Files that have no name any more and take disk as long as a process holds them.

A plugin may open a file in its private folder, remove it and go on writing: no count of the folder
sees it. Descriptors and mappings are looked through, as `/proc` tells them. Any thread may call.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator

__all__ = ["removed_bytes"]

_BLOCK_BYTES = 512
_MARK = b" (deleted)"
_MAX_MAPS_BYTES = 8 << 20


def removed_bytes(pids: Iterable[int], device: int) -> int:
    """Return what files without a name take on a device.

    Args:
        pids: who may hold them; of those that have ended or may not be looked at, none are known.
        device: `st_dev` of the folder in which they were; others are not counted.
    """
    found: dict[int, int] = {}
    for pid in pids:
        # What is only mapped is taken for as large as the mapping; open files are known better.
        for inode, size in _mapped(pid, device):
            found[inode] = max(found.get(inode, 0), size)
        found.update(_open(pid, device))
    return sum(found.values())


def _open(pid: int, device: int) -> Iterator[tuple[int, int]]:
    try:
        names = os.listdir(f"/proc/{pid}/fd")  # noqa: PTH208  of names
    except OSError:
        return
    for name in names:
        try:
            status = os.stat(f"/proc/{pid}/fd/{name}")  # noqa: PTH116  follows, opens nothing
        except OSError:
            continue
        if stat.S_ISREG(status.st_mode) and status.st_nlink == 0 and status.st_dev == device:
            yield status.st_ino, status.st_blocks * _BLOCK_BYTES


def _mapped(pid: int, device: int) -> Iterator[tuple[int, int]]:
    place = f"{os.major(device):02x}:{os.minor(device):02x}".encode()
    for line in _maps(pid).splitlines():
        if not line.endswith(_MARK):
            continue
        addresses, _, offset, where, inode = line.split()[:5]
        if where == place:
            begin, _, end = addresses.partition(b"-")
            yield int(inode), int(offset, 16) + int(end, 16) - int(begin, 16)


def _maps(pid: int) -> bytes:
    try:
        with open(f"/proc/{pid}/maps", "rb") as file:  # noqa: PTH123  of names
            return file.read(_MAX_MAPS_BYTES)
    except OSError:
        return b""
