"""What a worker's processes use now, as `/proc` tells it.

Who belongs to a worker is told by its control group, or else by descent from the process that was
started: a process that leaves its parents is found as long as it stays in their namespace.
One file is read per process, another per thread without a group. Any thread may call.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass

from engine.sandbox.descent import children, read_status

__all__ = ["Footprint", "descent", "measure", "program_pid"]

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_MAX_PROCESSES = 4096
_MAX_WRAPPERS = 3
# Fields of /proc/<pid>/stat behind the name.
_TIMES, _THREADS, _RESIDENT = slice(11, 15), 17, 21


@dataclass(frozen=True, slots=True)
class Footprint:
    """Sums over processes.

    Args:
        processes: how many there are.
        threads: of all of them.
        rss_bytes: resident; what they share counts for each.
        cpu_s: of those that live, and of those that they waited for.
        open_files: None when it was not asked for or we may not look.
    """

    processes: int
    threads: int
    rss_bytes: int
    cpu_s: float
    open_files: int | None


def measure(pids: Iterable[int], *, has_files: bool) -> Footprint:
    """Sum up what processes use; those that have ended use nothing.

    Args:
        pids: as the server numbers them.
        has_files: whether open files are counted too, which costs more than all the rest.
    """
    found = [(pid, fields) for pid in pids if (fields := _fields(pid))]
    ticks = sum(sum(map(int, fields[_TIMES])) for _, fields in found)
    return Footprint(
        processes=len(found),
        threads=sum(int(fields[_THREADS]) for _, fields in found),
        rss_bytes=sum(int(fields[_RESIDENT]) for _, fields in found) * _PAGE_BYTES,
        cpu_s=ticks / _TICKS_PER_S,
        open_files=_open_files([pid for pid, _ in found]) if has_files else None,
    )


def descent(pid: int) -> list[int]:
    """Return a process and all that descend from it."""
    found: list[int] = []
    waiting = [pid]
    while waiting and len(found) < _MAX_PROCESSES:
        each = waiting.pop()
        found.append(each)
        waiting += children(each)
    return found


def program_pid(pid: int) -> int:
    """Return the process that runs the program which bubblewrap was started with.

    Only before that program runs foreign code can its name be trusted.
    """
    for _ in range(_MAX_WRAPPERS):
        below = children(pid) if read_status(f"/proc/{pid}/comm") == b"bwrap\n" else []
        if len(below) != 1:
            break
        (pid,) = below
    return pid


def _fields(pid: int) -> list[bytes]:
    # The name may hold anything, spaces and parentheses included.
    return read_status(f"/proc/{pid}/stat").rpartition(b")")[2].split()


def _open_files(pids: Iterable[int]) -> int | None:
    try:
        return sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in pids)  # noqa: PTH208  of names
    except OSError:
        return None
