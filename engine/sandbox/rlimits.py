"""Resource limits of a worker's process, the floor that needs neither namespaces nor groups.

They hold for one process and are inherited by what it starts, so they bound each, not the sum:

    CORE     no core dumps, which would hold the plugin's data and fill the disk
    NOFILE   256, up to 1024 for a plugin that asks for more
    FSIZE    the disk limit: no file is larger than the folder may become
    DATA     the memory limit, and a stack of 8 MiB for each thread, which is reserved, not used;
             never AS, which counts what is only mapped and takes a third of the memory away
    NPROC    the process limit, when the worker's user id is its own: it counts the user's
             processes, so with the server's own id it would count the server's and everybody's

The hard limit of a server without privileges cannot be raised, so none is asked for above it.
Any thread may call.
"""

from __future__ import annotations

import resource

from engine.model.limits import Limits

__all__ = ["rlimits"]

_FILES = (256, 1024)
_STACK_BYTES = 8 << 20
_FEW_THREADS = 64


def rlimits(limits: Limits, *, has_cgroup: bool, has_own_uid: bool) -> list[tuple[int, int, int]]:
    """Return what `resource.prlimit` is to be called with, as (resource, soft, hard).

    Args:
        limits: of the trigger; what is None is not bounded.
        has_cgroup: whether a group counts processes, which it does better.
        has_own_uid: whether the worker runs under a user id that nobody else has.
    """
    wanted = [(resource.RLIMIT_CORE, 0, 0), (resource.RLIMIT_NOFILE, *_FILES)]
    if limits.disk_bytes is not None:
        wanted.append((resource.RLIMIT_FSIZE, limits.disk_bytes, limits.disk_bytes))
    if limits.memory_bytes is not None:
        threads = _FEW_THREADS if limits.processes is None else limits.processes
        data_bytes = limits.memory_bytes + threads * _STACK_BYTES
        wanted.append((resource.RLIMIT_DATA, data_bytes, data_bytes))
    if limits.processes is not None and has_own_uid and not has_cgroup:
        wanted.append((resource.RLIMIT_NPROC, limits.processes, limits.processes))
    return [_within(*each) for each in wanted]


def _within(which: int, soft: int, hard: int) -> tuple[int, int, int]:
    _, highest = resource.getrlimit(which)
    if highest == resource.RLIM_INFINITY:
        return which, soft, hard
    return which, min(soft, highest), min(hard, highest)
