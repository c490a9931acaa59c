"""Processes as `/proc` tells of them: who was started by whom. Any thread may call."""

from __future__ import annotations

import os

__all__ = ["children", "read_status"]

_READ_BYTES = 65536


def children(pid: int) -> list[int]:
    """Return the processes that a process has started and that live; none when it has ended."""
    try:
        threads = os.listdir(f"/proc/{pid}/task")  # noqa: PTH208  of names
    except OSError:
        return []
    content = b" ".join(read_status(f"/proc/{pid}/task/{each}/children") for each in threads)
    return [int(word) for word in content.split()]


def read_status(path: str) -> bytes:
    """Return the content of a small file of `/proc`; empty when its process has ended."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        return os.read(file, _READ_BYTES)
    except OSError:  # it has ended meanwhile
        return b""
    finally:
        os.close(file)
