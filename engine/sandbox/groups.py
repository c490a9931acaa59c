"""What the rest of the engine knows of control groups, whatever version of them holds.

One worker and all that it starts are in one group, which bounds them together and counts what they
use. `engine.sandbox.cgroup` finds out which version there is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from engine.model.limits import Limits
from engine.sandbox.policy import CgroupKind

__all__ = ["SANDBOX_PROCESSES", "Cgroups", "Counters", "Group", "GroupUsage", "Overrun"]

Overrun = Literal["memory", "processes"]

# Those of bubblewrap outside and inside of the namespace, which are not the plugin's.
SANDBOX_PROCESSES = 2


@dataclass(frozen=True, slots=True)
class GroupUsage:
    """What a group uses; None is what this machine does not count.

    Args:
        memory_bytes: now, the cache of files that it read or wrote included.
        peak_memory_bytes: the most so far, counted likewise.
        cpu_s: CPU time so far, that of processes that have ended included.
        processes: and threads, now.
    """

    memory_bytes: int | None
    peak_memory_bytes: int | None
    cpu_s: float | None
    processes: int | None


class Counters(Protocol):
    """Two of a group's counts by open descriptors, for whoever reads them often; one thread."""

    def cpu_s(self) -> float | None:
        """Return the CPU time so far."""
        ...

    def peak_memory_bytes(self) -> int | None:
        """Return the most memory so far."""
        ...

    def close(self) -> None:
        """Release the descriptors."""
        ...


class Group(Protocol):
    """The group of one worker; any thread may call."""

    @property
    def limits(self) -> Limits:
        """What it was made with."""
        ...

    def add(self, pid: int) -> None:
        """Put a process into the group, and so whatever it starts from now on.

        Raises:
            OSError: the kernel refuses, or the process has ended.
        """
        ...

    def pids(self) -> list[int]:
        """Return the processes that are in it, as the server numbers them."""
        ...

    def usage(self) -> GroupUsage:
        """Return what is used, or was when the group was removed."""
        ...

    def counters(self) -> Counters:
        """Open the counts that are read around every run.

        Raises:
            OSError: the group is removed.
        """
        ...

    def was_over(self) -> Overrun | None:
        """Return the limit that did harm: it killed a process, or denied one more."""
        ...

    def kill(self) -> bool:
        """Kill all that is in it, also what is just being started; return whether all is gone."""
        ...

    def remove(self) -> bool:
        """Kill what is left and remove the group; return whether it is gone."""
        ...


class Cgroups(Protocol):
    """Where groups are made; any thread may call."""

    @property
    def kind(self) -> CgroupKind:
        """Which version."""
        ...

    @property
    def holds(self) -> frozenset[str]:
        """Which limits are held: `memory` and `processes`, perhaps `cpu`."""
        ...

    def make(self, name: str, limits: Limits) -> Group:
        """Make an empty group.

        Args:
            name: for who looks at the machine, any text; a number is added.
            limits: what is None is not bounded.

        Raises:
            OSError: it cannot be made; nothing is left of it.
        """
        ...

    def close(self) -> None:
        """Remove what no worker is in any more."""
        ...
