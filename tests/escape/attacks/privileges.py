"""Privileges: becoming somebody with more rights.

A safe engine runs a worker as a user of its own without any capability, and nothing it could
start or call gives it more.
"""

from __future__ import annotations

import ctypes
import os
import struct
from pathlib import Path

from .catalog import Local, World, attack
from .kernel import LIBC, checked, syscall

_PR_GET_NO_NEW_PRIVS = 39
_PR_SET_NO_NEW_PRIVS = 38
_PR_SET_DUMPABLE = 4
_PR_GET_SECCOMP = 21
_CAPABILITY_VERSION = 0x20080522
_ALL = 0xFFFFFFFF


def _status(name: str) -> str:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return line.partition(":")[2].strip()
    return ""


@attack()
def become_root(world: World, local: Local) -> str | None:
    """Try: setuid(0). Safe: not permitted, or nothing but a name."""
    os.setuid(0)
    return f"is user 0 with capabilities {_status('CapEff')}"


@attack()
def become_root_all_ids(world: World, local: Local) -> str | None:
    """Try: setresuid and setresgid. Safe: not permitted."""
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)
    return "is user and group 0"


@attack()
def become_another(world: World, local: Local) -> str | None:
    """Try: become the user next door, who may be another trigger's. Safe: not permitted."""
    other = os.stat(world.victim_state).st_uid if os.path.exists(world.victim_state) else 65534
    other = other if other != os.getuid() else 65534
    os.setresuid(other, other, -1)
    return f"is user {os.getuid()}"


@attack()
def join_groups(world: World, local: Local) -> str | None:
    """Try: join the groups of root and disk. Safe: not permitted."""
    os.setgroups([0, 6])
    return f"is in the groups {os.getgroups()}"


@attack()
def capabilities(world: World, local: Local) -> str | None:
    """Try: find capabilities in force or to be had. Safe: all sets are empty."""
    names = ("CapInh", "CapPrm", "CapEff", "CapAmb")
    held = [name for name in names if int(_status(name), 16)]
    return f"holds capabilities: {', '.join(held)}" if held else None


@attack()
def take_capabilities(world: World, local: Local) -> str | None:
    """Try: capset with all of them. Safe: not permitted."""
    head = ctypes.create_string_buffer(struct.pack("=II", _CAPABILITY_VERSION, 0))
    wanted = ctypes.create_string_buffer(struct.pack("=6I", *[0x1FF] * 6))
    syscall("capset", head, wanted)
    return "took capabilities"


@attack()
def new_privileges(world: World, local: Local) -> str | None:
    """Try: see whether a set-user-id program would give more rights. Safe: switched off."""
    return None if LIBC.prctl(_PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) else "new privileges are possible"


@attack()
def without_filter(world: World, local: Local) -> str | None:
    """Try: see whether any thread is without a filter of system calls. Safe: none is."""
    for task in Path("/proc/self/task").iterdir():
        text = (task / "status").read_text()
        if "Seccomp:\t2" not in text:
            return f"thread {task.name} has no filter"
    return None


@attack()
def undo_no_new_privileges(world: World, local: Local) -> str | None:
    """Try: switch new privileges on again. Safe: they cannot be; off without a sandbox as well."""
    checked(LIBC.prctl(_PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0))
    return "switched them on"


@attack()
def who_it_is(world: World, local: Local) -> str | None:
    """Try: be the kernel's root. Judged from outside. Safe: a user without rights."""
    maps = Path("/proc/self/uid_map").read_text().split()
    is_root = os.getuid() == 0 and maps[:2] == ["0", "0"]
    return "is root" if is_root else None
