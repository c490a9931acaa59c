"""Control groups of version 1: one folder per hierarchy, all of the same name.

    memory   memory.limit_in_bytes, memory.memsw.limit_in_bytes (or no swapping at all)
    pids     pids.max
    cpu      cpu.cfs_quota_us of every 100 ms
    unified  version 2 mounted beside without controllers: cgroup.kill and cpu.stat
    cpuacct  cpuacct.usage, where there is no unified

Of a group that passes its memory the kernel kills one process only; whoever watches kills the rest.
Any thread may call.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Mapping
from pathlib import Path

from engine.model.limits import Limits
from engine.sandbox import cgroupfs
from engine.sandbox.cgroupfs import keyed, number, put
from engine.sandbox.counters import FileCounters
from engine.sandbox.groups import SANDBOX_PROCESSES, Group, GroupUsage, Overrun
from engine.sandbox.policy import CgroupKind

__all__ = ["CgroupsV1"]

_PERIOD_US = 100_000
_LEAST_QUOTA_US = 1_000
_KILL_S = 2.0
_NEARLY = 0.95  # the kernel gives memory out in pieces


class CgroupsV1:
    """Groups below one folder of each hierarchy, which is there already.

    Args:
        folders: by `memory`, `pids`, perhaps `cpu`, `cpuacct` and `unified`; two may be the same.
    """

    kind = CgroupKind.V1

    def __init__(self, folders: Mapping[str, Path]) -> None:
        self._folders = dict(folders)
        self._numbers = itertools.count(1)
        self.holds = frozenset({"memory", "processes"} | ({"cpu"} & folders.keys()))

    def make(self, name: str, limits: Limits) -> Group:
        """Make an empty group; see `Cgroups.make`."""
        own = cgroupfs.group_name(name, next(self._numbers))
        needed = {
            hierarchy: folder
            for hierarchy, folder in self._folders.items()
            if hierarchy != "cpu" or limits.cpu is not None
        }
        group = _GroupV1({hierarchy: folder / own for hierarchy, folder in needed.items()}, limits)
        try:
            group.set_up()
        except OSError:
            group.remove()
            raise
        return group

    def close(self) -> None:
        """Remove the folders in which nothing is."""
        for folder in set(self._folders.values()):
            with contextlib.suppress(OSError):
                folder.rmdir()


class _GroupV1:
    def __init__(self, folders: Mapping[str, Path], limits: Limits) -> None:
        self.limits = limits
        self._folders = dict(folders)
        self._places = tuple(dict.fromkeys(folders.values()))
        self._final: GroupUsage | None = None

    def set_up(self) -> None:
        for place in self._places:
            place.mkdir(mode=0o700)
        limits = self.limits
        if limits.memory_bytes is not None:
            _bound_memory(self._folders["memory"], limits.memory_bytes)
        if limits.processes is not None:
            put(self._folders["pids"], "pids.max", limits.processes + SANDBOX_PROCESSES)
        if limits.cpu is not None and "cpu" in self._folders:
            quota_us = max(_LEAST_QUOTA_US, round(limits.cpu * _PERIOD_US))
            put(self._folders["cpu"], "cpu.cfs_period_us", _PERIOD_US)
            put(self._folders["cpu"], "cpu.cfs_quota_us", quota_us)

    def add(self, pid: int) -> None:
        for place in self._places:
            put(place, "cgroup.procs", pid)

    def pids(self) -> list[int]:
        return cgroupfs.pids_in(self._folders["memory"])

    def usage(self) -> GroupUsage:
        return self._final or self._usage()

    def _usage(self) -> GroupUsage:
        memory, pids = self._folders["memory"], self._folders["pids"]
        return GroupUsage(
            number(memory, "memory.usage_in_bytes"),
            number(memory, "memory.max_usage_in_bytes"),
            self._cpu_s(),
            number(pids, "pids.current"),
        )

    def counters(self) -> FileCounters:
        return FileCounters(self._cpu_file(), self._folders["memory"] / "memory.max_usage_in_bytes")

    def was_over(self) -> Overrun | None:
        memory = self._folders["memory"]
        if keyed(memory, "memory.oom_control", "oom_kill") and self._came_to_its_limit():
            return "memory"
        return "processes" if keyed(self._folders["pids"], "pids.events", "max") else None

    def _came_to_its_limit(self) -> bool:
        """Tell our kills from those for a machine without memory, which are counted alike."""
        limit = self.limits.memory_bytes
        peak = number(self._folders["memory"], "memory.max_usage_in_bytes")
        return limit is not None and peak is not None and peak >= limit * _NEARLY

    def kill(self) -> bool:
        with contextlib.suppress(OSError):  # what does not start processes can be killed one by one
            put(self._folders["pids"], "pids.max", 0)
        return cgroupfs.end_all(self._places, _KILL_S)

    def remove(self) -> bool:
        self.kill()
        self._final = self.usage()
        are_gone = [cgroupfs.remove(place) for place in self._places]  # each is tried
        return all(are_gone)

    def _cpu_file(self) -> Path | None:
        if "unified" in self._folders:
            return self._folders["unified"] / "cpu.stat"
        if "cpuacct" in self._folders:
            return self._folders["cpuacct"] / "cpuacct.usage"
        return None

    def _cpu_s(self) -> float | None:
        try:
            counters = FileCounters(self._cpu_file(), None)
        except OSError:
            return None
        used_s = counters.cpu_s()
        counters.close()
        return used_s


def _bound_memory(folder: Path, memory_bytes: int) -> None:
    put(folder, "memory.limit_in_bytes", memory_bytes)
    if (folder / "memory.memsw.limit_in_bytes").exists():
        put(folder, "memory.memsw.limit_in_bytes", memory_bytes)  # with swap no more than without
    else:
        with contextlib.suppress(OSError):
            put(folder, "memory.swappiness", 0)
