"""What a worker's process has used so far, as the kernel counts it."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Usage", "usage_of"]

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PEAK = re.compile(r"VmHWM:\s*(\d+) kB")
_USER, _SYSTEM = 11, 12  # fields of /proc/<pid>/stat behind the name


@dataclass(frozen=True, slots=True)
class Usage:
    """CPU seconds, in steps of the kernel's clock, and the most bytes that were resident."""

    cpu_s: float
    peak_memory_bytes: int


def usage_of(pid: int) -> Usage | None:
    """Return what a process has used, or None when it has ended."""
    try:
        # The name may hold anything, spaces and parentheses included.
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
        peak = _PEAK.search(Path(f"/proc/{pid}/status").read_text(errors="replace"))
    except OSError:
        return None
    cpu_s = (int(fields[_USER]) + int(fields[_SYSTEM])) / _TICKS_PER_S
    return Usage(cpu_s, int(peak[1]) * 1024 if peak else 0)
