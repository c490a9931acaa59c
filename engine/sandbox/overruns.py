"""What is said of a worker that was killed because it used more than it may.

Any thread may call.
"""

from __future__ import annotations

from engine.sandbox.groups import Group

__all__ = [
    "disk_overrun",
    "group_overrun",
    "memory_overrun",
    "processes_overrun",
    "uncounted_overrun",
]

_KIB = 1 << 10
_MIB = 1 << 20


def group_overrun(group: Group) -> str | None:
    """Return what is said of a group in which the kernel has killed for memory, None without."""
    limit_bytes = group.limits.memory_bytes
    if limit_bytes is None or group.was_over() != "memory":
        return None
    return memory_overrun(limit_bytes, group.usage().peak_memory_bytes)


def memory_overrun(limit_bytes: int, peak_bytes: int | None) -> str:
    """Word a kill for memory; without a peak when nobody measured it."""
    peak = "" if peak_bytes is None else f", peak {_size(peak_bytes)}"
    return f"killed: memory {_size(limit_bytes)}{peak}"


def disk_overrun(limit_bytes: int, held_bytes: int) -> str:
    """Word a kill for what is in the private folder."""
    return f"killed: disk {_size(limit_bytes)}, the private folder holds {_size(held_bytes)}"


def uncounted_overrun(limit_bytes: int, entries: int) -> str:
    """Word a kill for a private folder that is too large, or too closed, to be counted."""
    return (
        f"killed: disk {_size(limit_bytes)}, the private folder holds more than can be counted "
        f"(after {entries} files)"
    )


def processes_overrun(limit: int, found: int) -> str:
    """Word a kill for too many processes and threads."""
    return f"killed: processes {limit}, there were {found}"


def _size(size_bytes: int) -> str:
    if size_bytes < _MIB:
        return f"{round(size_bytes / _KIB)} KiB"
    return f"{round(size_bytes / _MIB)} MiB"
