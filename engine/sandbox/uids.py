"""A user id for each trigger, when the server runs as root.

Nobody else has an id of this range by accident, and triggers of two servers on one machine have
different ones as a rule:

    0x7000_0000 + 65536 * (hash of data folder and node, modulo 4096) + trigger id modulo 65536

Inside a container only some ids exist. There the largest range of them is divided among the
triggers, counted from a place that depends on the server.
Any thread may call.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path

__all__ = ["closed_folder", "mapped_ranges", "own_uid", "uid_of"]

_FIRST = 0x7000_0000
_SERVERS = 4096
_TRIGGERS = 65_536
# Below are the accounts of the container itself; at the end is `nobody`.
_FIRST_IN_CONTAINER = 20_000
_FEWEST = 1024
_NOBODY = 65_534


def own_uid(trigger_id: int, server: str) -> int | None:
    """Return the user and group id of a trigger's workers, None when they keep the server's.

    Args:
        trigger_id: catalog id.
        server: what tells this server from others, as its data folder and node.
    """
    if os.geteuid() != 0:
        return None
    ranges = [mapped_ranges(Path(f"/proc/self/{name}").read_text()) for name in _MAPS]
    return uid_of(trigger_id, server, ranges)


_MAPS = ("uid_map", "gid_map")


def uid_of(trigger_id: int, server: str, ranges: Sequence[Sequence[range]]) -> int | None:
    """Return the id for a trigger that is in some range of every map, None when there is none."""
    number = zlib.crc32(server.encode())
    uid = _FIRST + _TRIGGERS * (number % _SERVERS) + trigger_id % _TRIGGERS
    if _is_in_all(uid, ranges):
        return uid
    first, last = _largest(ranges[0])
    count = last - first
    if count < _FEWEST:
        return None
    uid = first + (number + trigger_id) % count
    return uid if _is_in_all(uid, ranges) else None


def mapped_ranges(text: str) -> list[range]:
    """Return the ids that exist here, from the text of a uid_map or gid_map."""
    lines = (line.split() for line in text.splitlines())
    return [range(int(first), int(first) + int(count)) for first, _, count in lines]


def _is_in_all(uid: int, ranges: Iterable[Iterable[range]]) -> bool:
    return all(any(uid in ids for ids in mapped) for mapped in ranges)


def _largest(mapped: Iterable[range]) -> tuple[int, int]:
    best = max(mapped, key=len, default=range(0))
    first = max(best.start, _FIRST_IN_CONTAINER)
    last = min(best.stop, _NOBODY) if first < _NOBODY else best.stop
    return first, last


def closed_folder(path: str, uid: int) -> str | None:
    """Return the first folder on the way to a path that a user may not pass, None when all open.

    Folders that do not exist are open: whoever needs the path will say that it is missing.
    """
    for folder in reversed(Path(path).parents):
        try:
            status = folder.stat()
        except FileNotFoundError:
            return None
        passes = 0o100 if status.st_uid == uid else 0o010 if status.st_gid == uid else 0o001
        if not status.st_mode & passes:
            return str(folder)
    return None
