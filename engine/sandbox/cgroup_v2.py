"""Control groups of version 2: one folder, in a part of the tree that is delegated to the server.

    memory.max, memory.swap.max 0, memory.oom.group 1; pids.max; cpu.max of every 100 ms;
    cgroup.kill; counted by memory.current, memory.peak, pids.current, cpu.stat

A group with processes of its own cannot hand controllers down, so the server moves itself into a
leaf `bulkhead-server` beside the folder of its workers.
Not run on a machine that has version 2 with controllers: the tests hold what is written against a
folder that looks like one.
Any thread may call.
"""

from __future__ import annotations

import contextlib
import itertools
import os
from pathlib import Path

from engine.model.limits import Limits
from engine.sandbox import cgroupfs
from engine.sandbox.cgroupfs import keyed, number, put
from engine.sandbox.counters import FileCounters
from engine.sandbox.groups import SANDBOX_PROCESSES, Group, GroupUsage, Overrun
from engine.sandbox.policy import CgroupKind

__all__ = ["LEAF", "CgroupsV2", "delegate"]

LEAF = "bulkhead-server"
_PERIOD_US = 100_000
_LEAST_QUOTA_US = 1_000
_KILL_S = 2.0
_NEEDED = ("memory", "pids")
_S_PER_US = 1e-6


def delegate(own: Path) -> frozenset[str] | None:
    """Make room for groups below the server's own.

    Args:
        own: the group that the server is in, whose processes are all the server's business.

    Returns:
        The controllers that groups in it will have; None, and nothing is changed, when memory or
        pids is not to be had.

    Raises:
        OSError: the kernel does not let us.
    """
    available = set(_words(own / "cgroup.controllers"))
    if not available.issuperset(_NEEDED):
        return None
    if own.name != LEAF and (own / "cgroup.type").exists():  # the root needs no leaf
        leaf = own / LEAF
        leaf.mkdir(exist_ok=True)
        for pid in cgroupfs.pids_in(own):
            with contextlib.suppress(ProcessLookupError):
                put(leaf, "cgroup.procs", pid)
    return hand_down(own, available)


def hand_down(folder: Path, available: set[str]) -> frozenset[str]:
    """Give controllers to the groups directly below a folder.

    Raises:
        OSError: memory or pids cannot be given.
    """
    given = set(_NEEDED)
    for name in _NEEDED:
        put(folder, "cgroup.subtree_control", f"+{name}")
    if "cpu" in available:
        with contextlib.suppress(OSError):  # as when there are real-time processes
            put(folder, "cgroup.subtree_control", "+cpu")
            given.add("cpu")
    return frozenset(given)


class CgroupsV2:
    """Groups below one folder, to which controllers are handed down already.

    Args:
        folder: where they are made.
        controllers: that they have.
    """

    kind = CgroupKind.V2

    def __init__(self, folder: Path, controllers: frozenset[str]) -> None:
        self._folder = folder
        self._numbers = itertools.count(1)
        self.holds = frozenset({"memory", "processes"} | ({"cpu"} & controllers))

    def make(self, name: str, limits: Limits) -> Group:
        """Make an empty group; see `Cgroups.make`."""
        folder = self._folder / cgroupfs.group_name(name, next(self._numbers))
        folder.mkdir(mode=0o700)
        group = GroupV2(folder, limits)
        try:
            group.set_up()
        except OSError:
            group.remove()
            raise
        return group

    def close(self) -> None:
        """Remove the folder when nothing is in it."""
        with contextlib.suppress(OSError):
            self._folder.rmdir()


class GroupV2:
    """A group; see `Group`."""

    def __init__(self, folder: Path, limits: Limits) -> None:
        self.limits = limits
        self._folder = folder
        self._final: GroupUsage | None = None

    def set_up(self) -> None:
        """Write the limits."""
        limits = self.limits
        if limits.memory_bytes is not None:
            put(self._folder, "memory.max", limits.memory_bytes)
            with contextlib.suppress(FileNotFoundError):  # a kernel without swap
                put(self._folder, "memory.swap.max", 0)
            put(self._folder, "memory.oom.group", 1)
        if limits.processes is not None:
            put(self._folder, "pids.max", limits.processes + SANDBOX_PROCESSES)
        if limits.cpu is not None and (self._folder / "cpu.max").exists():
            quota_us = max(_LEAST_QUOTA_US, round(limits.cpu * _PERIOD_US))
            put(self._folder, "cpu.max", f"{quota_us} {_PERIOD_US}")

    def add(self, pid: int) -> None:
        """Put a process into the group."""
        put(self._folder, "cgroup.procs", pid)

    def pids(self) -> list[int]:
        """Return the processes that are in it."""
        return cgroupfs.pids_in(self._folder)

    def usage(self) -> GroupUsage:
        """Return what is used, or was in the end."""
        return self._final or self._usage()

    def _usage(self) -> GroupUsage:
        used_us = keyed(self._folder, "cpu.stat", "usage_usec")
        return GroupUsage(
            number(self._folder, "memory.current"),
            number(self._folder, "memory.peak"),
            None if used_us is None else used_us * _S_PER_US,
            number(self._folder, "pids.current"),
        )

    def counters(self) -> FileCounters:
        """Open the counts that are read around every run."""
        peak = self._folder / "memory.peak"
        return FileCounters(self._folder / "cpu.stat", peak if peak.exists() else None)

    def was_over(self) -> Overrun | None:
        """Return the limit that did harm."""
        events = (keyed(self._folder, "memory.events", key) for key in ("oom_kill", "oom"))
        # Kills are counted also when it was the whole machine that had no memory left.
        if all(events):
            return "memory"
        return "processes" if keyed(self._folder, "pids.events", "max") else None

    def kill(self) -> bool:
        """Kill all that is in it."""
        with contextlib.suppress(OSError):
            put(self._folder, "pids.max", 0)
        return cgroupfs.end_all((self._folder,), _KILL_S)

    def remove(self) -> bool:
        """Kill what is left and remove the group."""
        self.kill()
        self._final = self.usage()
        return cgroupfs.remove(self._folder)


def _words(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="ascii").split()
    except OSError:
        return []


def is_delegated(own: Path, path: str) -> bool:
    """Whether a group is ours to arrange.

    To an ordinary user it is when it is writable. Root may write everywhere, and takes only what
    systemd has marked, or what is the root of a container.

    Args:
        own: its folder.
        path: its name in `/proc/self/cgroup`.
    """
    if not os.access(own, os.W_OK) or not os.access(own / "cgroup.procs", os.W_OK):
        return False
    if os.geteuid() != 0 or path == "/":
        return True
    return any(_has_mark(own, name) for name in ("trusted.delegate", "user.delegate"))


def _has_mark(folder: Path, name: str) -> bool:
    try:
        return os.getxattr(folder, name) == b"1"
    except OSError:
        return False
