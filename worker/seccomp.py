"""Installs the filter of system calls, on all threads of this process, for good.

The program is made elsewhere (`engine/sandbox/seccomp`) and comes with the launch document as
the kernel takes it: instructions of eight bytes. Takes no library but `os`, `ctypes`, `struct`
and `errno`. Called once, after everything that needs a call which the filter refuses.
Source: Linux, seccomp(2).
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct

__all__ = ["seal"]

_SECCOMP = {"x86_64": 317, "aarch64": 277}
_SET_MODE_FILTER = 1
_TSYNC = 1
_PR_SET_NO_NEW_PRIVS = 38
_INSTRUCTION_BYTES = 8
_MAX_INSTRUCTIONS = 4096


def seal(program: bytes) -> None:
    """Refuse from now on, to every thread, the system calls that a filter refuses.

    Args:
        program: the filter, 1 to 4096 instructions of 8 bytes.

    Raises:
        OSError: a step failed, which one is said; the process must not go on.
        ValueError: it is no filter.
    """
    count, rest = divmod(len(program), _INSTRUCTION_BYTES)
    if rest or not 0 < count <= _MAX_INSTRUCTIONS:
        raise ValueError(f"seccomp: {len(program)} bytes are no filter")
    number = _SECCOMP.get(os.uname().machine)
    if number is None:
        raise OSError(errno.ENOSYS, f"seccomp: no filter for {os.uname().machine}")
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0:
        _fail("cannot set no_new_privs")
    instructions = ctypes.create_string_buffer(program, len(program))
    head = struct.pack("@HP", count, ctypes.addressof(instructions))
    result = libc.syscall(number, _SET_MODE_FILTER, _TSYNC, head)
    if result > 0:  # the number of the thread
        raise OSError(errno.EBUSY, f"seccomp: thread {result} has a filter of its own")
    if result < 0:
        _fail("cannot install the filter")


def _fail(step: str) -> None:
    number = ctypes.get_errno()
    raise OSError(number, f"seccomp: {step}: {os.strerror(number)}")
