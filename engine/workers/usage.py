"""Watch over what running workers use: measure, tell, and kill who is over a limit.

    a limit     with a control group                      without
    memory      the kernel kills; what it left is killed  looked at every 250 ms
    processes   the kernel starts no more                 looked at every 250 ms
    disk        looked at every second, less often when counting takes long or the worker rests

Where the kernel does not hold a limit, a worker may be over it until the next look. A worker whose
group has used no CPU since the last look is passed by, for 15 s at most.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

from engine.query.worker_table import WorkerRow
from engine.sandbox.groups import SANDBOX_PROCESSES, Group, GroupUsage
from engine.sandbox.overruns import group_overrun, memory_overrun, processes_overrun
from engine.service import CrashHandler, Service
from engine.workers.disk import Disk, Held
from engine.workers.footprint import Footprint, descent, measure
from engine.workers.roster import Roster, Watched

__all__ = ["UsageWatch"]

_INTERVAL_S = 1.0
_SHORT_INTERVAL_S = 0.25
_RESTING_INTERVAL_S = 15.0
_NOTHING = GroupUsage(None, None, None, None)


@dataclass(slots=True)
class _Seen:
    """What is known of one worker from look to look."""

    peak_bytes: int = 0
    open_files: int | None = None
    next_full_s: float = 0.0
    cpu_s: float | None = None
    rests_until_s: float = 0.0
    row: WorkerRow | None = None


class UsageWatch(Service):
    """Its own thread looks; `rows` is for any."""

    def __init__(
        self,
        roster: Roster,
        disk: Disk,
        on_crash: CrashHandler | None = None,
        *,
        is_enforcing: bool = True,
    ) -> None:
        """Set up the watch.

        Args:
            roster: the workers that run.
            disk: counts what their private folders hold.
            on_crash: told when the thread crashes.
            is_enforcing: whether workers over a limit are killed; else they are only measured.
        """
        super().__init__("usage", on_crash)
        self._is_enforcing = is_enforcing
        self._roster = roster
        self._disk = disk
        self._seen: dict[Watched, _Seen] = {}

    def run(self) -> None:
        """Look at all workers, again and again."""
        while not self.is_stopping:
            is_tight = self.look()
            self._stop_requested.wait(_SHORT_INTERVAL_S if is_tight else _INTERVAL_S)

    def wake(self) -> None:
        """Do nothing: the request to stop ends the wait by itself."""

    def look(self) -> bool:
        """Measure every worker once; return whether one of them needs to be looked at often."""
        watched = self._roster.watched()
        self._seen = {each: self._seen.get(each) or _Seen() for each in watched}
        self._disk.keep({each.private_dir for each in watched if each.private_dir is not None})
        for each in watched:
            overrun = self._look_at(each, self._seen[each])
            if overrun is not None and self._is_enforcing:
                self._roster.kill(each, overrun)
        return self._is_enforcing and any(each.process.group is None for each in watched)

    def rows(self) -> list[WorkerRow]:
        """Return what is known of each running worker."""
        seen = self._seen
        return [
            (seen[each].row if each in seen else None) or _bare(each)
            for each in self._roster.watched()
        ]

    def _look_at(self, watched: Watched, seen: _Seen) -> str | None:
        group, pid = watched.process.group, watched.process.pid
        now_s = time.monotonic()
        is_full = now_s >= seen.next_full_s
        if group is not None and not is_full:
            return None
        # With a group only what it counts itself is exact; who is in it is asked for the rest.
        used = _NOTHING if group is None else group.usage()
        if used.cpu_s is not None and _rests(seen, used.cpu_s, now_s):
            return None
        pids = descent(pid) if group is None else group.pids()
        footprint = measure(pids, has_files=is_full)
        if group is not None:
            used = group.usage()  # anew: the peak of a row is not to be older than its memory
        held = None
        if is_full:
            seen.next_full_s = now_s + _INTERVAL_S * 0.9  # the wait before it counts as a second
            seen.open_files = footprint.open_files
        if is_full and watched.private_dir is not None:
            # As exactly as it can be had: much disk can be taken within a tick of the clock.
            cpu_s = footprint.cpu_s if used.cpu_s is None else used.cpu_s
            held = self._disk.look(watched.private_dir, cpu_s, list(pids))
        seen.peak_bytes = max(seen.peak_bytes, footprint.rss_bytes)
        seen.row = _row(watched, seen, footprint, used, held)
        overrun = _left_over(group) if group is not None else _unheld(watched, seen, footprint)
        return overrun or self._overrun_of_disk(watched, held)

    def _overrun_of_disk(self, watched: Watched, held: Held | None) -> str | None:
        folder, limit_bytes = watched.private_dir, watched.limits.disk_bytes
        if held is None or folder is None or limit_bytes is None:
            return None
        return self._disk.overrun(folder, held, limit_bytes)


def _rests(seen: _Seen, cpu_s: float, now_s: float) -> bool:
    """Tell who has done nothing since the last look: it has taken nothing either."""
    if cpu_s == seen.cpu_s and now_s < seen.rests_until_s:
        return True
    seen.cpu_s, seen.rests_until_s = cpu_s, now_s + _RESTING_INTERVAL_S
    return False


def _left_over(group: Group) -> str | None:
    """Find a group of which the kernel killed one process and left the others."""
    return group_overrun(group) if group.pids() else None


def _unheld(watched: Watched, seen: _Seen, footprint: Footprint) -> str | None:
    limits = watched.limits
    if limits.memory_bytes is not None and footprint.rss_bytes > limits.memory_bytes:
        return memory_overrun(limits.memory_bytes, seen.peak_bytes)
    if limits.processes is not None and footprint.threads > limits.processes + SANDBOX_PROCESSES:
        return processes_overrun(limits.processes, footprint.threads)
    return None


def _bare(watched: Watched) -> WorkerRow:
    return WorkerRow(
        trigger_id=watched.trigger_id,
        trigger=watched.trigger,
        database=watched.database,
        pid=watched.process.pid,
        started_ns=watched.started_ns,
        limits=watched.limits,
        limited_by="watch" if watched.process.group is None else "cgroup",
    )


def _row(
    watched: Watched, seen: _Seen, footprint: Footprint, used: GroupUsage, held: Held | None
) -> WorkerRow:
    before = seen.row.private_bytes if seen.row is not None else None
    return replace(
        _bare(watched),
        rss_bytes=footprint.rss_bytes,
        peak_memory_bytes=used.peak_memory_bytes or seen.peak_bytes,
        cpu_s=footprint.cpu_s if used.cpu_s is None else used.cpu_s,
        processes=footprint.processes,
        threads=footprint.threads,
        open_files=seen.open_files,
        private_bytes=before if held is None else held.disk_bytes,
    )
