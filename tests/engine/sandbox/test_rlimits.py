"""What each process of a worker may use at most."""

import resource
import subprocess
import sys

from engine.model.limits import Limits
from engine.sandbox.rlimits import rlimits

MIB = 1 << 20
LIMITS = Limits(memory_bytes=128 * MIB, processes=16, disk_bytes=8 * MIB)


def as_map(*, has_cgroup: bool, has_own_uid: bool) -> dict[int, tuple[int, int]]:
    found = rlimits(LIMITS, has_cgroup=has_cgroup, has_own_uid=has_own_uid)
    return {which: (soft, hard) for which, soft, hard in found}


def test_limits_of_a_trigger_bound_each_process() -> None:
    found = as_map(has_cgroup=True, has_own_uid=True)

    assert found[resource.RLIMIT_CORE] == (0, 0)
    assert found[resource.RLIMIT_FSIZE] == (8 * MIB, 8 * MIB)
    assert found[resource.RLIMIT_DATA] == (256 * MIB, 256 * MIB)
    assert found[resource.RLIMIT_NOFILE][0] <= 256
    assert resource.RLIMIT_AS not in found


def test_processes_are_counted_by_user_only_where_the_user_is_its_own_and_no_group_counts() -> None:
    assert resource.RLIMIT_NPROC not in as_map(has_cgroup=True, has_own_uid=True)
    assert resource.RLIMIT_NPROC not in as_map(has_cgroup=False, has_own_uid=False)
    found = as_map(has_cgroup=False, has_own_uid=True)
    assert found[resource.RLIMIT_NPROC] == (16, 16)


def test_what_is_not_limited_is_left_alone() -> None:
    found = rlimits(Limits(), has_cgroup=False, has_own_uid=True)

    assert {which for which, _, _ in found} == {resource.RLIMIT_CORE, resource.RLIMIT_NOFILE}


def test_no_hard_limit_is_above_our_own() -> None:
    for which, soft, hard in rlimits(LIMITS, has_cgroup=False, has_own_uid=True):
        own = resource.getrlimit(which)[1]
        assert soft <= hard
        assert own == resource.RLIM_INFINITY or hard <= own


def test_process_under_them_gets_no_more_memory_and_writes_no_larger_file() -> None:
    program = """
import sys, tempfile
sys.stdin.readline()
try:
    bytearray(300 << 20)
except MemoryError:
    print("no memory")
try:
    with tempfile.TemporaryFile(buffering=0) as file:
        file.truncate(9 << 20)
except OSError as error:
    print(error.errno)
"""
    child = subprocess.Popen(
        [sys.executable, "-S", "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    for which, soft, hard in rlimits(LIMITS, has_cgroup=True, has_own_uid=False):
        resource.prlimit(child.pid, which, (soft, hard))

    printed, _ = child.communicate(b"\n", timeout=20)

    assert printed.split(b"\n")[:2] == [b"no memory", b"27"]  # EFBIG
