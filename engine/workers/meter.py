"""What a worker's process has used so far, as the kernel counts it.

Read around every run, so the file of the CPU time stays open: opening it costs more than reading.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

__all__ = ["Meter", "Usage"]

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PEAK = re.compile(rb"VmHWM:\s*(\d+) kB")
_USER, _SYSTEM = 11, 12  # fields of /proc/<pid>/stat behind the name
_READ_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Usage:
    """CPU seconds, in steps of the kernel's clock, and the most bytes that were resident."""

    cpu_s: float
    peak_memory_bytes: int


class Meter:
    """Reads of one process; any thread, until it is closed."""

    def __init__(self, pid: int) -> None:
        """Begin to read.

        Raises:
            OSError: there is no such process.
        """
        self._status = f"/proc/{pid}/status"
        self._stat = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)

    def cpu_s(self) -> float | None:
        """Return the CPU time so far, or None when the process has ended."""
        try:
            content = os.pread(self._stat, _READ_BYTES, 0)
        except OSError:
            return None
        # The name may hold anything, spaces and parentheses included.
        fields = content.rpartition(b")")[2].split()
        return (int(fields[_USER]) + int(fields[_SYSTEM])) / _TICKS_PER_S

    def usage(self) -> Usage | None:
        """Return what has been used so far, or None when the process has ended."""
        cpu_s = self.cpu_s()
        if cpu_s is None:
            return None
        try:
            with open(self._status, "rb", buffering=0) as file:  # noqa: PTH123  the cheapest way
                peak = _PEAK.search(file.read(_READ_BYTES) or b"")
        except OSError:
            return None
        return Usage(cpu_s, int(peak[1]) * 1024 if peak else 0)

    def close(self) -> None:
        """Release the descriptor."""
        os.close(self._stat)
