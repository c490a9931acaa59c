"""The files of control groups: where they are mounted, reading, writing, and ending what is inside.

Killing without `cgroup.kill` is a loop over `cgroup.procs` with process descriptors, so that a
number that the kernel gives to somebody else meanwhile is never hit. Whoever uses the loop stops
the group from starting processes first, else it may not end.
Any thread may call.
"""

from __future__ import annotations

import contextlib
import os
import re
import select
import signal
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

__all__ = [
    "Mount",
    "end_all",
    "group_name",
    "groups_below",
    "keyed",
    "memberships",
    "mounts",
    "number",
    "own_folder",
    "pids_in",
    "put",
    "remove",
]

_READ_BYTES = 65536
_REMOVE_S = 1.0
_STEP_S = 0.05
_MAX_NAME = 64
_NO_NAME = re.compile(r"[^A-Za-z0-9_-]")
_OCTAL = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True, slots=True)
class Mount:
    """A hierarchy of groups.

    Args:
        point: where it is mounted.
        root: the group that is seen there.
        is_v2: whether it is the unified one.
        options: of version 1, with the names of controllers.
    """

    point: Path
    root: str
    is_v2: bool
    options: frozenset[str]


def mounts(text: str) -> list[Mount]:
    """Return the hierarchies that `/proc/self/mountinfo` lists."""
    found = []
    for line in text.splitlines():
        before, _, after = line.partition(" - ")
        fields, (kind, *rest) = before.split(), after.split() or [""]
        if kind in {"cgroup", "cgroup2"}:
            options = frozenset(rest[-1].split(","))
            root, point = _plain(fields[3]), Path(_plain(fields[4]))
            found.append(Mount(point, root, kind == "cgroup2", options))
    return found


def memberships(text: str) -> dict[str, str]:
    """Return the groups of `/proc/self/cgroup` by controller; the unified one by an empty name."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        _, controllers, path = line.split(":", 2)
        found |= dict.fromkeys(controllers.split(","), path)
    return found


def own_folder(mount: Mount, path: str) -> Path | None:
    """Return where a group's files are, None when they are not below the mount."""
    if not path.startswith("/") or "/.." in path:  # the latter is outside of our namespace
        return None
    relative = os.path.relpath(path, mount.root)
    return None if relative.startswith("..") else mount.point / relative


def put(folder: Path, name: str, value: int | str) -> None:
    """Write one value into a group's file, which must be there already.

    Raises:
        OSError: it is not, or the kernel refuses the value.
    """
    file = os.open(folder / name, os.O_WRONLY | os.O_CLOEXEC | os.O_TRUNC)
    try:
        os.write(file, str(value).encode())
    finally:
        os.close(file)


def number(folder: Path, name: str) -> int | None:
    """Return the number in a file, None for `max` or when there is none."""
    text = _text(folder / name).strip()
    return int(text) if text.isascii() and text.isdigit() else None


def keyed(folder: Path, name: str, key: str) -> int | None:
    """Return the number behind a key in a file of lines with two words."""
    for line in _text(folder / name).splitlines():
        word, _, value = line.partition(" ")
        if word == key and value.isdigit():
            return int(value)
    return None


def group_name(name: str, count: int) -> str:
    """Return a name that is a folder's, whatever somebody has called a trigger."""
    return f"{_NO_NAME.sub('_', name)[:_MAX_NAME]}-{count}"


def pids_in(folder: Path) -> list[int]:
    """Return the processes in a group."""
    return [int(word) for word in _text(folder / "cgroup.procs").split() if word != "0"]


def groups_below(folder: Path) -> list[Path]:
    """Return the groups directly below one."""
    try:
        return [Path(entry.path) for entry in os.scandir(folder) if entry.is_dir()]
    except OSError:
        return []


def end_all(folders: Iterable[Path], within_s: float) -> bool:
    """Kill what is in groups until nothing is; return whether that came about in time."""
    deadline_s = time.monotonic() + within_s
    places = list(folders)
    for folder in places:
        with contextlib.suppress(OSError):  # not there before Linux 5.14, nor in version 1
            put(folder, "cgroup.kill", 1)
    while left := [(pid, place) for place in places for pid in pids_in(place)]:
        if time.monotonic() > deadline_s:
            return False
        _kill_and_wait(left)
    return True


def remove(folder: Path) -> bool:
    """Remove a group that nothing is in; return whether it is gone."""
    deadline_s = time.monotonic() + _REMOVE_S
    while True:
        try:
            folder.rmdir()
        except FileNotFoundError:
            return True
        except OSError:
            if time.monotonic() > deadline_s:
                return False
            select.select([], [], [], _STEP_S)  # what was killed is not quite gone
        else:
            return True


def _kill_and_wait(victims: Iterable[tuple[int, Path]]) -> None:
    poll, opened = select.poll(), []
    try:
        for pid, place in victims:
            try:
                descriptor = os.pidfd_open(pid)
            except OSError:
                continue  # it has ended
            opened.append(descriptor)
            if pid in pids_in(place):  # still: so the descriptor is not somebody else's
                signal.pidfd_send_signal(descriptor, signal.SIGKILL)
                poll.register(descriptor, select.POLLIN)
        poll.poll(_STEP_S * 1000)
    except ProcessLookupError:
        pass  # it has ended meanwhile; the caller looks again
    finally:
        for descriptor in opened:
            os.close(descriptor)


def _text(path: Path) -> str:
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        parts = []
        while part := os.read(file, _READ_BYTES):
            parts.append(part)
        return b"".join(parts).decode(errors="replace")
    except OSError:
        return ""
    finally:
        os.close(file)


def _plain(text: str) -> str:
    return _OCTAL.sub(lambda found: chr(int(found[1], 8)), text)
