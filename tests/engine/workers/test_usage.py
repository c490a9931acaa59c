"""Workers are measured, and who is over a limit is killed and told so."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engine.model.limits import Limits
from engine.sandbox import tree
from engine.sandbox.cgroup import Group, find
from engine.sandbox.overruns import group_overrun
from engine.workers.disk import Disk
from engine.workers.meter import Meter
from engine.workers.roster import Roster, Watched
from engine.workers.usage import UsageWatch

MIB = 1 << 20
HOLD = "block = bytearray(b'x' * (48 << 20)); print('up', flush=True); sys.stdin.readline()"


class Process:
    """A child that stands for a worker."""

    def __init__(self, program: str, group: Group | None = None) -> None:
        self.group = group
        self.over: str | None = None
        self.child = subprocess.Popen(
            [sys.executable, "-S", "-c", f"import os, sys; sys.stdin.readline()\n{program}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.pid = self.child.pid
        self.pidfd = os.pidfd_open(self.pid)
        if group is not None:
            group.add(self.pid)
        assert self.child.stdin is not None
        self.child.stdin.write(b"\n")
        self.child.stdin.flush()

    def note_over_limit(self, text: str) -> None:
        self.over = text

    def hear(self) -> str:
        assert self.child.stdout is not None
        return self.child.stdout.readline().decode().strip()

    def close(self) -> None:
        self.child.kill()
        self.child.communicate()
        os.close(self.pidfd)


Start = Callable[..., Process]


@pytest.fixture
def roster() -> Roster:
    return Roster()


@pytest.fixture
def start(roster: Roster) -> Iterator[Start]:
    with contextlib.ExitStack() as closing:

        def start_one(
            program: str,
            limits: Limits,
            *,
            group: Group | None = None,
            private_dir: Path | None = None,
        ) -> Process:
            process = Process(program, group)
            closing.callback(process.close)
            watched = Watched(1, "t", "db", process, limits, 5, private_dir)
            roster.add(watched)
            closing.callback(roster.remove, watched)
            return process

        yield start_one


@pytest.fixture
def watch(roster: Roster) -> UsageWatch:
    return UsageWatch(roster, Disk(tree.size))


@pytest.fixture
def group() -> Iterator[Group]:
    cgroups = find(f"test{uuid.uuid4().hex[:12]}")
    if cgroups is None:
        pytest.skip("no control groups are writable here that hold memory and processes")
    made = cgroups.make("test", Limits(memory_bytes=64 * MIB))
    yield made
    assert made.remove()
    cgroups.close()


def test_worker_is_measured_and_left_alone_within_its_limits(
    start: Start, watch: UsageWatch, tmp_path: Path
) -> None:
    limits = Limits(memory_bytes=512 * MIB, processes=8, disk_bytes=MIB)
    process = start(HOLD, limits, private_dir=tmp_path)
    process.hear()

    assert watch.look()
    (row,) = watch.rows()

    assert process.over is None
    assert (row.pid, row.processes, row.threads, row.limited_by) == (process.pid, 1, 1, "watch")
    assert row.rss_bytes is not None
    assert row.rss_bytes == row.peak_memory_bytes
    assert row.rss_bytes > 48 * MIB
    assert row.open_files is not None
    assert row.private_bytes == 0


def test_worker_that_was_not_looked_at_yet_is_listed_without_measures(
    start: Start, watch: UsageWatch
) -> None:
    process = start(HOLD, Limits())

    (row,) = watch.rows()

    assert (row.pid, row.rss_bytes) == (process.pid, None)


def test_memory_over_the_limit_without_a_group_is_a_kill_that_names_it(
    start: Start, watch: UsageWatch
) -> None:
    # The block is the child's: what counts is the sum.
    process = start(f"if os.fork() == 0:\n    {HOLD}\nos.wait()", Limits(memory_bytes=40 * MIB))
    process.hear()

    watch.look()

    assert process.child.wait(5) == -9
    assert process.over is not None
    assert process.over.startswith("killed: memory 40 MiB, peak ")


def test_processes_over_the_limit_without_a_group_are_a_kill(
    start: Start, watch: UsageWatch
) -> None:
    threads = "import threading\nfor _ in range(9): threading.Thread(target=sys.stdin.read).start()"
    process = start(f"{threads}\nprint('up', flush=True)", Limits(processes=4))
    process.hear()

    watch.look()

    assert process.child.wait(5) == -9
    assert process.over == "killed: processes 4, there were 10"


def test_private_folder_over_the_limit_is_a_kill(
    start: Start, watch: UsageWatch, tmp_path: Path
) -> None:
    (tmp_path / "queue").write_bytes(bytes([1]) * (3 * MIB))
    process = start(HOLD, Limits(disk_bytes=2 * MIB), private_dir=tmp_path)

    watch.look()

    assert process.child.wait(5) == -9
    assert process.over == "killed: disk 2 MiB, the private folder holds 3 MiB"


def test_watch_that_does_not_enforce_only_measures(start: Start, roster: Roster) -> None:
    watch = UsageWatch(roster, Disk(tree.size), is_enforcing=False)
    process = start(HOLD, Limits(memory_bytes=MIB))
    process.hear()

    is_tight = watch.look()

    assert not is_tight
    assert process.over is None
    assert process.child.poll() is None


def test_worker_that_has_left_the_roster_is_not_killed(start: Start, roster: Roster) -> None:
    process = start(HOLD, Limits())
    (watched,) = roster.watched()
    roster.remove(watched)

    roster.kill(watched, "killed: memory 1 MiB")

    assert process.over is None
    assert process.child.poll() is None


def test_what_the_kernel_left_of_a_group_over_its_memory_is_killed_and_named(
    start: Start, watch: UsageWatch, group: Group
) -> None:
    bomb = """
if os.fork() == 0:
    kept = []
    while True: kept.append(bytes([1]) * (1 << 20))
_, status = os.wait()
print(status, flush=True)
sys.stdin.readline()
"""
    process = start(bomb, group.limits, group=group)
    assert process.hear() in {"9", ""}  # nothing when the kernel has killed both

    watch.look()

    assert process.child.wait(5) == -9
    assert process.over in {None, group_overrun(group)}
    assert group_overrun(group) == "killed: memory 64 MiB, peak 64 MiB"


def test_group_tells_its_own_peak(start: Start, watch: UsageWatch, group: Group) -> None:
    process = start(HOLD.replace("48", "24"), group.limits, group=group)
    process.hear()

    assert not watch.look()
    (row,) = watch.rows()

    assert row.limited_by == "cgroup"
    assert row.peak_memory_bytes is None or row.peak_memory_bytes >= 24 * MIB
    assert process.over is None


def test_worker_that_has_done_nothing_is_not_measured_anew_and_one_that_works_is(
    start: Start, watch: UsageWatch, group: Group, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.workers.usage._INTERVAL_S", 0.0)
    process = start(
        "while True: print('up', flush=True); sys.stdin.readline()", group.limits, group=group
    )
    process.hear()
    rows = []
    for _ in range(20):  # until it has come to rest
        watch.look()
        rows += watch.rows()
        if len(rows) > 1 and rows[-1] is rows[-2]:
            break
    assert rows[-1] is rows[-2]
    assert process.child.stdin is not None
    process.child.stdin.write(b"\n")
    process.child.stdin.flush()
    process.hear()

    watch.look()

    assert watch.rows()[0] is not rows[-1]


def test_meter_of_a_group_counts_children_and_outlives_it(start: Start, group: Group) -> None:
    work = """
if os.fork() == 0:
    sum(range(4_000_000))
    os._exit(0)
os.wait()
print('up', flush=True)
sys.stdin.readline()
"""
    process = start(work, group.limits, group=group)
    meter = Meter(process.pid, group)
    process.hear()

    during = meter.usage()
    process.child.kill()
    process.child.wait()
    assert group.remove()
    after = meter.usage()
    meter.close()

    assert during is not None
    assert after is not None
    assert 0.01 < during.cpu_s <= after.cpu_s
    assert during.peak_memory_bytes <= after.peak_memory_bytes


def test_service_ends_when_it_is_asked_to(watch: UsageWatch) -> None:
    watch.start()

    assert watch.stop(5.0)
