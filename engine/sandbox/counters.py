"""Counts of a group that are read around every run, by descriptors that stay open.

Opening such a file costs more than reading it.
"""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["FileCounters"]

_READ_BYTES = 256
_S_PER_NS = 1e-9
_S_PER_US = 1e-6


class FileCounters:
    """Reads of one group; one thread at a time, until they are closed."""

    def __init__(self, cpu: Path | None, peak: Path | None) -> None:
        """Open what there is.

        Args:
            cpu: `cpu.stat` of version 2, or `cpuacct.usage` of version 1.
            peak: a file with the most bytes so far.

        Raises:
            OSError: there is no such group any more.
        """
        self._is_stat = cpu is not None and cpu.name == "cpu.stat"
        self._cpu = _opened(cpu)
        try:
            self._peak = _opened(peak)
        except OSError:
            self.close()
            raise

    def cpu_s(self) -> float | None:
        """Return the CPU time so far, or None when it is not counted."""
        text = _content(self._cpu)
        if not text:
            return None
        if self._is_stat:  # its first line is `usage_usec 123`
            return int(text.split(None, 2)[1]) * _S_PER_US
        return int(text) * _S_PER_NS

    def peak_memory_bytes(self) -> int | None:
        """Return the most memory so far, or None when it is not counted."""
        text = _content(self._peak)
        return int(text) if text else None

    def close(self) -> None:
        """Release the descriptors."""
        for file in (self._cpu, getattr(self, "_peak", None)):
            if file is not None:
                os.close(file)


def _opened(path: Path | None) -> int | None:
    return None if path is None else os.open(path, os.O_RDONLY | os.O_CLOEXEC)


def _content(file: int | None) -> bytes:
    if file is None:
        return b""
    try:
        return os.pread(file, _READ_BYTES, 0)
    except OSError:  # the group is removed
        return b""
