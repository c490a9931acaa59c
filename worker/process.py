"""What binds this process to the engine, and how it ends."""

from __future__ import annotations

import atexit
import ctypes
import os
import select
import signal
from typing import NoReturn

from worker.stdio import flush

__all__ = ["await_admission", "bind_to_parent", "leave"]

_PR_SET_PDEATHSIG = 1
_NOT_ADMITTED = 125


def await_admission() -> None:
    """Wait until the engine has put this process into its bounds; nothing foreign has run so far.

    Our own imports are done by then, while the engine did its part.
    """
    if os.read(0, 1) != b"\n":
        os._exit(_NOT_ADMITTED)  # the engine has ended
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)


def bind_to_parent() -> None:
    """End with the thread that started us, and leave Ctrl-C at a terminal to the engine."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if _nobody_reads():
        os._exit(1)  # it had ended before we were bound to it
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _nobody_reads() -> bool:
    poll = select.poll()
    poll.register(2, 0)
    return any(event & select.POLLERR for _, event in poll.poll(0))


def leave(status: int) -> NoReturn:
    """End the process now; threads that the plugin has left behind do not hold it up."""
    if status == 0:
        atexit._run_exitfuncs()  # noqa: SLF001 - the usual way out waits for threads first
    flush()
    os._exit(status)
