"""What a worker has used so far, as the kernel counts it.

With a control group that is what all its processes used. Without one it is what its main process
used, and those that it waited for: with bubblewrap that is not the process that was started.
Read around every run, so the files stay open: opening one costs more than reading.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from engine.sandbox.groups import Counters, Group
from engine.workers.footprint import program_pid

__all__ = ["Meter", "Usage"]

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PEAK = re.compile(rb"VmHWM:\s*(\d+) kB")
_TIMES = slice(11, 15)  # fields of /proc/<pid>/stat behind the name: own, and of those waited for
_READ_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Usage:
    """CPU seconds, in steps of the kernel's clock, and the most bytes that were in use."""

    cpu_s: float
    peak_memory_bytes: int


class Meter:
    """Reads of one worker; any thread, until it is closed."""

    def __init__(self, pid: int, group: Group | None = None) -> None:
        """Begin to read.

        Args:
            pid: the process that was started.
            group: of which it is, if it is of one.

        Raises:
            OSError: there is no such process or group.
        """
        self._pid = pid
        self._group = group
        self._counters: Counters | None = group.counters() if group is not None else None
        self._stat = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)

    def follow(self) -> None:
        """Read from the program itself instead of what confines it.

        To be called once the worker has said hello and before it has run foreign code.
        """
        pid = program_pid(self._pid)
        if pid == self._pid:
            return
        try:
            stat = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return  # it has ended already
        # The number of the descriptor stays, whatever another thread is reading meanwhile.
        os.dup2(stat, self._stat, inheritable=False)
        os.close(stat)
        self._pid = pid

    def cpu_s(self) -> float | None:
        """Return the CPU time so far, or None when the process has ended."""
        if self._counters is not None and (used_s := self._counters.cpu_s()) is not None:
            return used_s
        try:
            content = os.pread(self._stat, _READ_BYTES, 0)
        except OSError:
            return None
        # The name may hold anything, spaces and parentheses included.
        fields = content.rpartition(b")")[2].split()
        return sum(map(int, fields[_TIMES])) / _TICKS_PER_S

    def usage(self) -> Usage | None:
        """Return what was used so far; None when the process has ended and was in no group."""
        cpu_s = self.cpu_s()
        if cpu_s is None:
            return self._final()
        peak = self._counters.peak_memory_bytes() if self._counters is not None else None
        if peak is None:
            peak = self._peak_of_process()
        return None if peak is None else Usage(cpu_s, peak)

    def close(self) -> None:
        """Release the descriptors."""
        os.close(self._stat)
        if self._counters is not None:
            self._counters.close()

    def _final(self) -> Usage | None:
        used = self._group.usage() if self._group is not None else None
        if used is None or used.cpu_s is None or used.peak_memory_bytes is None:
            return None
        return Usage(used.cpu_s, used.peak_memory_bytes)

    def _peak_of_process(self) -> int | None:
        try:
            with open(f"/proc/{self._pid}/status", "rb", buffering=0) as file:  # noqa: PTH123  the cheapest way
                peak = _PEAK.search(file.read(_READ_BYTES) or b"")
        except OSError:
            return None
        return int(peak[1]) * 1024 if peak else 0
