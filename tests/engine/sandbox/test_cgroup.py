"""Groups of this machine hold, count, and end what is in them."""

import contextlib
import os
import select
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator

import pytest

from engine.model.limits import Limits
from engine.sandbox.cgroup import Cgroups, Group, find

MIB = 1 << 20
GATED = [sys.executable, "-S", "-c"]


@pytest.fixture
def owner() -> str:
    return f"test{uuid.uuid4().hex[:12]}"


@pytest.fixture
def cgroups(owner: str) -> Iterator[Cgroups]:
    found = find(owner)
    if found is None:
        pytest.skip("no control groups are writable here that hold memory and processes")
    yield found
    found.close()


@pytest.fixture
def make(cgroups: Cgroups) -> Iterator[Callable[[Limits], Group]]:
    made: list[Group] = []

    def make_one(limits: Limits) -> Group:
        made.append(cgroups.make("test", limits))
        return made[-1]

    yield make_one
    for group in made:
        assert group.remove()


def start(group: Group, program: str) -> subprocess.Popen[bytes]:
    """Start a Python program that is in the group before its first line runs."""
    child = subprocess.Popen(
        [*GATED, f"import os, sys; sys.stdin.readline()\n{program}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    group.add(child.pid)
    assert child.stdin is not None
    child.stdin.write(b"\n")
    child.stdin.flush()
    return child


def line_of(child: subprocess.Popen[bytes]) -> str:
    assert child.stdout is not None
    return child.stdout.readline().decode().strip()


def close(child: subprocess.Popen[bytes]) -> None:
    child.kill()
    child.wait(10)
    for pipe in (child.stdin, child.stdout):
        assert pipe is not None
        with contextlib.suppress(BrokenPipeError):
            pipe.close()


def has_ended(pid: int) -> bool:
    """Whether a process that need not be a child ends within some seconds."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    is_ended = bool(poll.poll(5000))
    os.close(descriptor)
    return is_ended


def test_memory_bomb_is_killed_and_the_group_says_why(make: Callable[[Limits], Group]) -> None:
    group = make(Limits(memory_bytes=64 * MIB))

    child = start(group, "kept = []\nwhile True: kept.append(bytes([1]) * (1 << 20))")

    assert child.wait(20) == -signal.SIGKILL
    assert group.was_over() == "memory"
    peak = group.usage().peak_memory_bytes
    assert peak is None or 48 * MIB < peak <= 64 * MIB
    close(child)


def test_group_that_kept_its_limits_was_not_over_any(make: Callable[[Limits], Group]) -> None:
    group = make(Limits(memory_bytes=256 * MIB, processes=8))

    child = start(group, "print('up', flush=True)\nsys.stdin.readline()")

    assert line_of(child) == "up"
    assert group.was_over() is None
    assert group.pids() == [child.pid]
    assert group.usage().processes == 1
    close(child)


def test_no_more_processes_can_be_started_than_allowed(make: Callable[[Limits], Group]) -> None:
    group = make(Limits(processes=8))
    bomb = """
import time
started = 0
while started < 100:
    try:
        pid = os.fork()
    except OSError:
        break
    if pid == 0:
        time.sleep(60)
    started += 1
print(started, flush=True)
sys.stdin.readline()
"""

    child = start(group, bomb)

    assert int(line_of(child)) < 10
    assert group.was_over() == "processes"
    assert group.kill()
    assert group.pids() == []
    close(child)


def test_cpu_share_holds_over_all_processes_together(
    cgroups: Cgroups, make: Callable[[Limits], Group]
) -> None:
    if "cpu" not in cgroups.holds:
        pytest.skip("no control group of the CPU is writable here")
    group = make(Limits(cpu=0.2))
    # Wall time against what was given: only more than the share could be wrong, however slow
    # this machine is.
    spin = """
import time
start = time.monotonic()
os.fork()
while time.monotonic() - start < 1.0: pass
"""

    child = start(group, spin)
    child.wait(60)
    group.kill()

    used_s = group.usage().cpu_s
    assert used_s is not None
    assert 0.02 < used_s < 0.6  # two processes without a share would use up to 2.0
    close(child)


def test_kill_ends_a_tree_that_ignores_signals_and_leaves_its_session(
    make: Callable[[Limits], Group],
) -> None:
    group = make(Limits(processes=32))
    daemon = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        print(os.getpid(), flush=True)
        time.sleep(600)
    os._exit(0)
os.wait()
sys.stdin.readline()
"""
    child = start(group, daemon)
    daemon_pid = int(line_of(child))

    assert group.kill()

    assert child.wait(5) == -signal.SIGKILL
    assert has_ended(daemon_pid)
    close(child)


def test_what_a_dead_server_left_is_killed_and_removed_at_the_next_start(
    owner: str, cgroups: Cgroups
) -> None:
    left_over = cgroups.make("worker", Limits(memory_bytes=128 * MIB))
    child = start(left_over, "print('up', flush=True)\nimport time; time.sleep(600)")
    line_of(child)

    again = find(owner)

    assert again is not None
    assert child.wait(5) == -signal.SIGKILL
    assert left_over.pids() == []
    with pytest.raises(FileNotFoundError):
        left_over.add(os.getpid())
    close(child)


def test_counters_follow_the_group_until_it_is_removed(make: Callable[[Limits], Group]) -> None:
    group = make(Limits(memory_bytes=256 * MIB))
    counters = group.counters()
    work = "kept = bytes([1]) * (32 << 20)\nsum(range(3_000_000))\nprint('done', flush=True)"

    child = start(group, work)
    line_of(child)
    child.wait(10)

    cpu_s, peak = counters.cpu_s(), counters.peak_memory_bytes()
    assert cpu_s is None or 0.01 < cpu_s < 60
    assert peak is None or peak > 30 * MIB
    assert group.remove()
    assert (counters.cpu_s(), counters.peak_memory_bytes()) == (None, None)
    final = group.usage()  # is still known
    assert (final.peak_memory_bytes, final.processes) == (peak, 0)
    assert cpu_s is None or (final.cpu_s is not None and final.cpu_s >= cpu_s)
    counters.close()
    close(child)


def test_groups_of_one_name_are_apart(make: Callable[[Limits], Group]) -> None:
    first, second = make(Limits()), make(Limits())

    child = start(first, "sys.stdin.readline()")

    assert (first.pids(), second.pids()) == ([child.pid], [])
    close(child)


def test_closing_leaves_no_folder_behind(owner: str, cgroups: Cgroups) -> None:
    group = cgroups.make("worker", Limits(memory_bytes=128 * MIB, cpu=0.5))

    assert group.remove()
    cgroups.close()

    # Not by a glob, which fails when somebody else's group goes while it looks.
    assert all(f"bulkhead-{owner}" not in names for _, names, _ in os.walk("/sys/fs/cgroup"))
