"""Children that take another identity, and all three steps together."""

from __future__ import annotations

import os
import subprocess
import sys
from textwrap import dedent

import pytest

from tests.confining import ROOT, child
from worker import landlock

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


def test_only_a_few_libraries_are_imported() -> None:
    code = """
        import sys
        import __future__, os, ctypes, struct, errno
        libraries = set(sys.modules)
        sys.path.insert(0, sys.argv[1])
        import worker.confine
        print(sorted(set(sys.modules) - libraries))
        """
    command = [sys.executable, "-I", "-S", "-c", dedent(code), str(ROOT)]

    done = subprocess.run(command, check=True, capture_output=True, text=True)

    ours = ["resource", "worker", "worker.confine", "worker.landlock", "worker.seccomp"]
    assert done.stdout.strip() == str(ours)


@as_root
def test_another_user_has_no_groups_no_capabilities_and_no_way_back() -> None:
    answer = child("""
        confine.become(0x70001234, 0x70001235, [])
        with open("/proc/self/status") as file:
            status = dict(line.split(":\\t", 1) for line in file.read().splitlines())
        answer = {
            "users": os.getresuid(),
            "groups": [*os.getresgid(), *os.getgroups()],
            "capabilities": [int(status["Cap" + kind], 16)
                             for kind in ("Inh", "Prm", "Eff", "Bnd", "Amb")],
            "no new privileges": status["NoNewPrivs"],
            "back": [tried(os.setuid, 0), tried(os.setgid, 0), tried(os.setgroups, [0])],
            "root's files": tried(open, "/etc/shadow"),
            "own descriptors": len(os.listdir("/proc/self/fd")) > 0,
        }
        """)

    assert answer == {
        "users": [0x70001234] * 3,
        "groups": [0x70001235] * 3,
        "capabilities": [0] * 5,
        "no new privileges": "1",
        "back": ["EPERM"] * 3,
        "root's files": "EACCES",
        "own descriptors": True,
    }


def test_who_stays_the_same_user_loses_the_capabilities_all_the_same() -> None:
    answer = child("""
        confine.become(None, None, [])
        with open("/proc/self/status") as file:
            status = dict(line.split(":\\t", 1) for line in file.read().splitlines())
        answer = [int(status["CapEff"], 16), int(status["CapPrm"], 16), tried(os.chroot, "/")]
        """)

    assert answer == [0, 0, "EPERM"]


@as_root
def test_a_mounted_folder_is_limited_in_bytes_and_inodes_before_the_switch() -> None:
    answer = child("""
        libc.unshare(0x20000)
        libc.mount(b"none", b"/", None, ctypes.c_ulong(0x44000), None)  # private, recursive
        assert libc.mount(b"tmpfs", b"/mnt", b"tmpfs", ctypes.c_ulong(6), b"mode=1777") == 0
        confine.become(0x70001234, 0x70001234, [("/mnt", 1 << 20, 8)])
        made = 0
        while tried(open, f"/mnt/{made}", "wb") == "done":
            made += 1
        answer = [made, os.statvfs("/mnt").f_blocks * os.statvfs("/mnt").f_frsize]
        """)

    assert answer == [7, 1 << 20]  # the folder itself is the eighth


def test_a_step_that_fails_is_named() -> None:
    answer = child("""
        try:
            confine.become(None, None, [("/nothing", 4096, 8)])
        except OSError as error:
            answer = error.strerror
        """)

    assert answer.startswith("become: cannot limit /nothing: ")


@as_root
def test_who_may_not_switch_is_told() -> None:
    answer = child("""
        os.setresuid(0x70001234, 0x70001234, 0x70001234)
        try:
            confine.become(5, 5, [])
        except OSError as error:
            answer = error.strerror
        """)

    assert answer == "become: cannot switch to user 5, group 5: Operation not permitted"


def test_all_three_steps_hold_together() -> None:
    answer = child(
        """
        import asyncio
        plain = program("plain")
        user = 0x70001234 if AS_ROOT else None
        confine.become(user, user, [])
        used = confine.restrict([("/usr", "read"), ("/dev/null", "device")])
        confine.seal(plain)
        async def main():
            return "ran"
        answer = [used, asyncio.run(main()), tried(os.fork),
                  tried(open, "/etc/hostname"), tried(socket.socket), os.path.isdir("/usr")]
        """,
        AS_ROOT=os.geteuid() == 0,
    )

    file = "EACCES" if landlock.abi() else "done"
    assert answer == [landlock.abi(), "ran", "EPERM", file, "EPERM", True]
