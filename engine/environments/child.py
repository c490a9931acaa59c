"""One enclosed program on its way: its output as lines, its limits, and the end of all of it.

Nothing of a program is left when it has ended, whether by itself or because it took too long, too
much memory or disk, or since the server stops.

Used by the thread that started it, which must outlive it: the parent-death signal follows it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass

from engine.environments.failures import InstallFailed
from engine.environments.lines import Lines
from engine.environments.running import OnLine
from engine.errors import PluginError, ProtocolFault, Stopping
from engine.sandbox.enclose import Enclosed
from engine.sandbox.overruns import group_overrun

__all__ = ["Ending", "Patience", "Room", "run_enclosed"]

log = logging.getLogger(__name__)
_READ_BYTES = 65536
_LAST_READS = 64
_MERCY_S = 1.0
_REAP_TIMEOUT_S = 5.0
_SIGNALLED = 128
_LOOK_S = 0.5
_MOST_KEPT_BYTES = 512 << 20


@dataclass(frozen=True, slots=True)
class Room:
    """Disk that a program has to leave to others: the server keeps its log on it.

    Args:
        folder: on that disk.
        least_bytes: that stay free.
    """

    folder: str
    least_bytes: int

    @classmethod
    def half(cls, folder: str) -> Room:
        """Return half of what is free, at most 512 MiB: a small package fits on a small disk."""
        return cls(folder, min(_MOST_KEPT_BYTES, _free_bytes(folder) // 2))

    def is_taken(self) -> bool:
        """Whether less is free."""
        return _free_bytes(self.folder) < self.least_bytes


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a program is let run.

    Args:
        timeout_s: > 0.
        stopped: a descriptor that is readable from the server's stop on.
        rooms: that it leaves to others.
    """

    timeout_s: float
    stopped: int
    rooms: tuple[Room, ...] = ()


@dataclass(frozen=True, slots=True)
class Ending:
    """How a program ended.

    Args:
        status: of its exit; 128 and the number of the signal when one ended it.
        output: the last that it printed.
        excess: what it took too much of, as "took longer than 5 s"; None when it did not.
    """

    status: int
    output: str
    excess: str | None = None


def run_enclosed(enclose: Callable[[int], Enclosed], patience: Patience, on_line: OnLine) -> Ending:
    """Start a program and wait for its end, or end it and all that it has started.

    Args:
        enclose: starts it, given the descriptor for what it prints.
        patience: with it.
        on_line: gets what it prints.

    Raises:
        InstallFailed: it could not be started, or not be confined.
        Stopping: the server is shutting down.
    """
    output, printing_end = os.pipe2(os.O_CLOEXEC)
    os.set_blocking(output, False)
    try:
        child = _Child(output, patience, on_line)
        try:
            enclosed = enclose(printing_end)
        except (PluginError, ProtocolFault, OSError) as error:
            child.read_rest()
            said = f"; it said: {child.lines.text}" if child.lines.text else ""
            raise InstallFailed(f"cannot start it: {error}{said}") from error
        finally:
            os.close(printing_end)
        return child.wait(enclosed)
    finally:
        os.close(output)


class _Child:
    """The program, from its start to its end."""

    def __init__(self, output: int, patience: Patience, on_line: OnLine) -> None:
        self.lines = Lines()
        self._output = output
        self._patience = patience
        self._on_line = on_line

    def wait(self, enclosed: Enclosed) -> Ending:
        """Read until the program ends; whatever happens, nothing of it is left then."""
        excess = overrun = None
        try:
            excess = self._follow(enclosed.popen.pid)
        finally:
            _end(enclosed)
            if enclosed.group is not None:
                # What its control group has counted goes with the group.
                overrun = group_overrun(enclosed.group)
            enclosed.release()
        self.read_rest()
        status = enclosed.popen.returncode
        if status and excess is None and overrun is not None:
            excess = f"needs more memory than it may ({overrun})"
        return Ending(status if status >= 0 else _SIGNALLED - status, self.lines.text, excess)

    def _follow(self, pid: int) -> str | None:
        """Read until the program ends, or its time or room does; return which."""
        pidfd = os.pidfd_open(pid)
        try:
            poll = select.poll()
            for descriptor in (self._output, pidfd, self._patience.stopped):
                poll.register(descriptor, select.POLLIN)
            deadline_s = time.monotonic() + self._patience.timeout_s
            while (left_s := deadline_s - time.monotonic()) > 0:
                ready = {descriptor for descriptor, _ in poll.poll(min(left_s, _LOOK_S) * 1000)}
                if self._patience.stopped in ready:
                    raise Stopping
                if self._output in ready and not self._read():
                    poll.unregister(self._output)
                if pidfd in ready:
                    return None
                if (excess := self._excess()) is not None:
                    return excess
        finally:
            os.close(pidfd)
        last = self.lines.text.rpartition("\n")[2]
        said = f"; the last it said: {last}" if last else ""
        return f"took longer than {self._patience.timeout_s:g} s{said}"

    def _excess(self) -> str | None:
        for room in self._patience.rooms:
            if room.is_taken():
                kept = room.least_bytes >> 20
                return f"fills the disk: less than {kept} MiB are free for {room.folder}"
        return None

    def read_rest(self) -> None:
        """Take what was printed; bounded, since somebody may hold the pipe and print for ever."""
        for _ in range(_LAST_READS):
            if not self._read(may_wait=False):
                break
        self._tell(self.lines.end())

    def _read(self, *, may_wait: bool = True) -> bool:
        """Take some of the output; return whether more may come."""
        try:
            chunk = os.read(self._output, _READ_BYTES)
        except BlockingIOError:
            return may_wait
        self._tell(self.lines.feed(chunk))
        return bool(chunk)

    def _tell(self, lines: list[str]) -> None:
        for line in lines:
            self._on_line(line)


def _free_bytes(folder: str) -> int:
    disk = os.statvfs(folder)
    return disk.f_bavail * disk.f_frsize


def _end(enclosed: Enclosed) -> None:
    """End the program and what it started, and reap it."""
    child = enclosed.popen
    # Its guard kills also what has left the group, when it is let; namespaces do without.
    steps = [] if enclosed.has_namespaces else [(child.terminate, _MERCY_S)]
    # It is reaped only after this, so the group id cannot belong to anybody else.
    steps.append((lambda: os.killpg(child.pid, signal.SIGKILL), _REAP_TIMEOUT_S))
    for act, wait_s in steps:
        if child.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError, subprocess.TimeoutExpired):
            act()
            child.wait(wait_s)
    if child.returncode is None:
        log.error("a killed installer does not end", extra={"pid": child.pid})
