"""What processes use, and which belong to a worker."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from engine.workers.footprint import descent, measure, program_pid

TREE = """
import os, sys, threading
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        waiter = threading.Thread(target=sys.stdin.readline)
        waiter.start()
        block = bytearray(b"x" * (16 << 20))
        print(os.getpid(), flush=True)
        waiter.join()
    else:
        os.wait()
else:
    os.wait()
"""


@pytest.fixture
def tree() -> Iterator[tuple[int, int]]:
    """Start three generations; yield the first and the last process id."""
    child = subprocess.Popen(
        [sys.executable, "-S", "-c", TREE], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert child.stdout is not None
    yield child.pid, int(child.stdout.readline())
    child.communicate(b"\n", timeout=10)


def test_descent_finds_children_of_children_in_other_sessions(tree: tuple[int, int]) -> None:
    first, last = tree

    found = descent(first)

    assert found[0] == first
    assert last in found
    assert len(found) == 3


def test_sums_are_over_all_processes(tree: tuple[int, int]) -> None:
    first, _ = tree

    alone = measure([first], has_files=True)
    together = measure(descent(first), has_files=True)

    assert (together.processes, together.threads) == (3, 4)
    assert together.rss_bytes > alone.rss_bytes + (16 << 20)
    assert alone.open_files is not None
    assert together.open_files is not None
    assert together.open_files > alone.open_files


def test_process_that_has_ended_uses_nothing() -> None:
    child = subprocess.Popen([sys.executable, "-S", "-c", ""])
    child.wait()

    footprint = measure(descent(child.pid), has_files=True)

    assert (footprint.processes, footprint.threads, footprint.rss_bytes) == (0, 0, 0)


def test_cpu_time_of_a_process_is_seen() -> None:
    before_s = measure([os.getpid()], has_files=False).cpu_s
    while (now := measure([os.getpid()], has_files=False)).cpu_s <= before_s:
        sum(range(10_000))

    assert now.cpu_s > before_s
    assert now.open_files is None


def test_program_that_is_not_wrapped_is_its_own(tree: tuple[int, int]) -> None:
    first, _ = tree

    assert program_pid(first) == first


def test_program_is_found_below_what_confines_it() -> None:
    if not os.path.exists("/usr/bin/bwrap"):  # noqa: PTH110
        pytest.skip("no bubblewrap here")
    inner = [sys.executable, "-S", "-c", "print('up', flush=True); input()"]
    command = ["/usr/bin/bwrap", "--bind", "/", "/", "--unshare-pid", "--proc", "/proc", *inner]
    child = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert child.stdout is not None
    if child.stdout.readline() != b"up\n":
        _, errors = child.communicate(timeout=10)
        pytest.skip(f"bubblewrap does not start here: {errors.decode()}")

    found = program_pid(child.pid)
    named = measure([found], has_files=False)

    child.communicate(b"\n", timeout=10)
    assert found != child.pid
    assert named.rss_bytes > 4 << 20  # Python, and not bubblewrap
