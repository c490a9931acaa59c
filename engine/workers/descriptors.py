"""File descriptors: as many as the machine allows, and none taken that others cannot spare.

A worker takes about eight. ZeroMQ ends the whole process when it finds none left, so room is
looked for before it is asked. Any thread may call.
"""

from __future__ import annotations

import errno
import resource
from pathlib import Path

__all__ = ["raise_limit", "require_room"]

_MOST = 65_536
_FOR_OTHERS = 2048


def raise_limit() -> None:
    """Raise this process's limit to what it may have without asking anybody."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST if hard == resource.RLIM_INFINITY else min(hard, _MOST)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def require_room() -> None:
    """Make sure that a worker leaves enough for clients and the log.

    Raises:
        OSError: it would not.
    """
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return
    if sum(1 for _ in Path("/proc/self/fd").iterdir()) >= soft - min(soft // 2, _FOR_OTHERS):
        raise OSError(
            errno.EMFILE,
            f"too many workers for the limit of {soft} open files; raise it (ulimit -n) and "
            "restart the server",
        )
