"""System calls by number, for those that Python has no function for."""

from __future__ import annotations

import ctypes
import errno
import os
import platform
from collections.abc import Callable

# Of each call the number on x86_64, then that on aarch64.
NUMBERS = {
    "add_key": (248, 217),
    "bpf": (321, 280),
    "capset": (126, 91),
    "clock_settime": (227, 112),
    "clone": (56, 220),
    "clone3": (435, 435),
    "fanotify_init": (300, 262),
    "init_module": (175, 105),
    "io_uring_setup": (425, 425),
    "kcmp": (312, 272),
    "kexec_load": (246, 104),
    "keyctl": (250, 219),
    "mount": (165, 40),
    "mq_open": (240, 180),
    "msgget": (68, 186),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "open_tree": (428, 428),
    "perf_event_open": (298, 241),
    "personality": (135, 92),
    "pidfd_getfd": (438, 438),
    "pivot_root": (155, 41),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "quotactl": (179, 60),
    "reboot": (169, 142),
    "setns": (308, 268),
    "swapon": (167, 224),
    "syslog": (103, 116),
    "umount2": (166, 39),
    "unshare": (272, 97),
    "userfaultfd": (323, 282),
}
REFUSALS = (errno.EPERM, errno.ENOSYS, errno.EACCES)
LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.syscall.restype = ctypes.c_long
LIBC.shmat.restype = ctypes.c_void_p


def syscall(name: str, *arguments: int | bytes | ctypes.Array[ctypes.c_char] | None) -> int:
    """Make a system call; raise OSError when it fails."""
    column = 0 if platform.machine() == "x86_64" else 1
    return numbered(NUMBERS[name][column], *arguments)


def numbered(number: int, *arguments: int | bytes | ctypes.Array[ctypes.c_char] | None) -> int:
    """Make a system call by number; raise OSError when it fails."""
    values = [ctypes.c_long(one) if isinstance(one, int) else one for one in arguments]
    result: int = LIBC.syscall(ctypes.c_long(number), *values)
    return checked(result)


def checked(result: int) -> int:
    """Raise OSError when a call of the C library has returned -1."""
    if result == -1:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def reached(call: Callable[[], object]) -> str | None:
    """Tell whether the kernel's own code answers a call that nobody needs.

    A call with senseless arguments fails in any case; what counts is who says so. A filter says
    "not permitted" or "no such call", the code behind it complains about the arguments.
    """
    try:
        return f"the kernel did it: {call()!r}"
    except OSError as error:
        if error.errno in REFUSALS:
            raise
        return f"the kernel looked at it: {error}"
