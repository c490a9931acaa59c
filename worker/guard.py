"""A process that stays beside a program, and ends whatever the program leaves behind.

Where there is no process namespace, the end of a program is not that of its children, and the
parent-death signal reaches one process only. So the first process stays, and the program is its
child. Orphans come to it (it is their subreaper), also those that left the group:

    the program ends      all that is left is killed; its status is passed on
    the engine ends       SIGTERM, by the parent-death signal: all is killed
    the engine gives up   SIGTERM likewise; it kills the group when that takes long

It parts from the program before that is confined, so the program can neither signal nor see it.
Called by the only thread; nothing foreign runs in it.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
from types import FrameType
from typing import NoReturn

__all__ = ["guard"]

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_SIGNALLED = 128
_READ_BYTES = 65536
_FIRST_OF_PROGRAM = 3
_MOST_DESCRIPTORS = 4096


def guard() -> int:
    """Part into guard and program.

    Returns:
        The process that guards, in the one that is to become the program.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    ours = os.getpid()
    signal.signal(signal.SIGTERM, _end)
    program = os.fork()
    if program:
        os.closerange(_FIRST_OF_PROGRAM, _MOST_DESCRIPTORS)
        _watch(program)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    return ours


def _watch(program: int) -> NoReturn:
    while True:
        pid, status = os.waitpid(-1, 0)
        if pid == program:
            _end_all()
            code = os.waitstatus_to_exitcode(status)
            os._exit(code if code >= 0 else _SIGNALLED - code)


def _end(number: int, _: FrameType | None) -> None:
    _end_all()
    os._exit(_SIGNALLED + number)


def _end_all() -> None:
    """Kill all children until none is left: those of a killed one become ours."""
    with contextlib.suppress(ChildProcessError):
        while True:
            for pid in _children():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            os.waitpid(-1, 0)


def _children() -> list[int]:
    try:
        file = os.open(f"/proc/self/task/{os.getpid()}/children", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:  # a kernel without: all but what has left the group
        os.killpg(0, signal.SIGKILL)
        raise
    try:
        return [int(word) for word in os.read(file, _READ_BYTES).split()]
    finally:
        os.close(file)
