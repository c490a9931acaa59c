"""Hide from a program what its machine has: Landlock, seccomp, or control groups.

    python lacking.py landlock|seccomp|cgroups ... -- COMMAND...

Kernel features are hidden by a filter of system calls, which all that is started keeps: Landlock
does not exist then, and a process cannot be given a further filter. Control groups are hidden by an
empty file system, in a mount namespace that this program has to be started in.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
import sys
from pathlib import Path

_LANDLOCK = {"x86_64": (444, 445, 446), "aarch64": (444, 445, 446)}
_SECCOMP = {"x86_64": 317, "aarch64": 277}
_AUDIT = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}

_LOAD, _EQUAL, _RETURN = 0x20, 0x15, 0x06
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_SET_NO_NEW_PRIVS, _SET_SECCOMP, _FILTER = 38, 22, 2


def lacking(*what: str) -> list[str]:
    """Return what to put before a command; nothing to hide takes nothing."""
    if not what:
        return []
    hidden = [sys.executable, str(Path(__file__)), *what, "--"]
    namespace = ["unshare", "--mount", "--propagation", "private"] if "cgroups" in what else []
    return [*namespace, *hidden]


def main() -> None:
    end = sys.argv.index("--")
    what, command = sys.argv[1:end], sys.argv[end + 1 :]
    machine = os.uname().machine
    libc = ctypes.CDLL(None, use_errno=True)
    if "cgroups" in what:
        _hide_cgroups(libc)
    numbers = [*(_LANDLOCK[machine] if "landlock" in what else ())]
    if "seccomp" in what:
        numbers.append(_SECCOMP[machine])
    if numbers:
        _filter(libc, _program(machine, numbers))
    os.execvp(command[0], command)  # noqa: S606


def _hide_cgroups(libc: ctypes.CDLL) -> None:
    if libc.mount(b"none", b"/sys/fs/cgroup", b"tmpfs", 0, None):
        raise OSError(ctypes.get_errno(), "cannot hide the control groups")


def _program(machine: str, numbers: list[int]) -> bytes:
    """Return a filter for which some system calls of a machine do not exist."""
    refusal = _ERRNO | errno.ENOSYS
    checks = [(_EQUAL, len(numbers) - place, 0, number) for place, number in enumerate(numbers)]
    steps = [
        (_LOAD, 0, 0, 4),
        (_EQUAL, 0, len(numbers) + 1, _AUDIT[machine]),
        (_LOAD, 0, 0, 0),
        *checks,
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, refusal),
    ]
    return b"".join(struct.pack("=HBBI", *step) for step in steps)


def _filter(libc: ctypes.CDLL, program: bytes) -> None:
    instructions = ctypes.create_string_buffer(program, len(program))
    head = struct.pack("@HP", len(program) // 8, ctypes.addressof(instructions))
    # As root without no_new_privs, which bubblewrap would not mind but other programs might.
    if os.geteuid() != 0 and libc.prctl(_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "no_new_privs")
    if libc.prctl(_SET_SECCOMP, _FILTER, head):
        raise OSError(ctypes.get_errno(), "seccomp")


if __name__ == "__main__":
    main()
