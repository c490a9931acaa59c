"""Endings: outliving the worker, the trigger or the server, and not ending when told to.

A safe engine ends everything that a worker has started within a second of the worker's end, and a
run that takes too long within its limit and the grace. Judged from outside for all of them.
"""

from __future__ import annotations

import ctypes
import os
import re
import signal
import threading
from pathlib import Path

from .catalog import Local, World, attack
from .kernel import LIBC

_PR_SET_NAME = 15
_PR_SET_PDEATHSIG = 1
_LONGEST_LIFE_S = 30
_TIME = {"time": "1s"}


def _wear(mark: str) -> None:
    """Give this thread a name by which it is found from outside."""
    LIBC.prctl(_PR_SET_NAME, mark.encode()[:15], 0, 0, 0)


def _live_on(mark: str) -> None:
    _wear(mark)
    signal.alarm(_LONGEST_LIFE_S)  # none is left behind in any case
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    while True:
        signal.pause()


def _daemon(mark: str) -> str:
    """Start a process that belongs to nobody: forked twice, in a session of its own."""
    pid = os.fork()
    if pid == 0:
        try:
            os.setsid()
            if os.fork() == 0:
                os.closerange(0, 256)
                _live_on(mark)
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    return "started"


@attack()
def daemon(world: World, local: Local) -> str | None:
    """Try: a daemon that outlives the trigger. Safe: it cannot be started."""
    return _daemon(world.mark) and None


@attack(grants=("subprocess",))
def granted_daemon(world: World, local: Local) -> str | None:
    """Try: the same with processes granted. Safe: gone with the worker."""
    return _daemon(world.mark) and None


@attack(needs_server=True, grants=("subprocess",))
def daemon_after_server(world: World, local: Local) -> str | None:
    """Try: a daemon that outlives `kill -9` of the server. Safe: gone within a second."""
    return _daemon(world.mark) and None


@attack(needs_server=True)
def worker_after_server(world: World, local: Local) -> str | None:
    """Try: undo what binds the worker to the server, which is then killed. Safe: it ends too."""
    LIBC.prctl(_PR_SET_PDEATHSIG, 0, 0, 0, 0)
    # The lane's loop ends the process when nobody speaks any more; this thread does not.
    _wear(world.mark)
    thread = threading.Thread(target=_search_for_ever, args=(world.mark, 44), daemon=True)
    thread.start()
    return None


def _search_for_ever(mark: str, length: int) -> None:
    """Call C code that holds the interpreter's lock for hours."""
    _wear(mark)
    threading.Event().wait(0.3)  # the answer may leave before
    re.match(r"(a+)+$", "a" * length + "b")


@attack(is_deadly=True, limits=_TIME)
def endless_call(world: World, local: Local) -> str | None:
    """Try: C code that holds the interpreter's lock. Safe: killed when its time is up."""
    _wear(world.mark)
    re.match(r"(a+)+$", "a" * 44 + "b")
    return None


@attack(is_deadly=True, limits=_TIME)
def deaf_loop(world: World, local: Local) -> str | None:
    """Try: ignore every signal and every request to stop. Safe: killed when its time is up."""
    _wear(world.mark)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGALRM):
        signal.signal(number, signal.SIG_IGN)
    while True:
        try:
            threading.Event().wait(1)
            local.info("still here")
        except BaseException:  # noqa: BLE001, S112  it is deaf
            continue


@attack(is_deadly=True, limits=_TIME)
def stopped(world: World, local: Local) -> str | None:
    """Try: stop the own process, which then answers to nobody. Safe: killed when time is up."""
    _wear(world.mark)
    os.kill(os.getpid(), signal.SIGSTOP)
    return None


@attack(is_deadly=True, limits=_TIME)
def silent(world: World, local: Local) -> str | None:
    """Try: close the conversation and go on. Safe: killed."""
    _wear(world.mark)
    os.closerange(0, 256)
    while True:
        pass


@attack(is_deadly=True)
def segmentation_fault(world: World, local: Local) -> str | None:
    """Try: crash. Safe: this worker is replaced, and the others go on."""
    ctypes.string_at(0)
    return None


@attack(is_deadly=True)
def vanish(world: World, local: Local) -> str | None:
    """Try: end in the middle of a run, with a good status. Safe: the worker is replaced."""
    os._exit(0)


@attack(is_deadly=True)
def kill_all(world: World, local: Local) -> str | None:
    """Try: kill the own process group, with whatever else is in it. Safe: only the worker ends."""
    if os.getpgid(0) == os.getpgid(world.server_pid):
        return "is in the server's process group"
    os.killpg(0, signal.SIGKILL)
    return None


@attack()
def leave_group(world: World, local: Local) -> str | None:
    """Try: leave the control group by which the engine would end everything. Safe: no way."""
    for path in Path("/sys/fs/cgroup").rglob("cgroup.procs"):
        try:
            with path.open("a") as file:
                file.write(str(os.getpid()))
        except OSError:
            continue
        return f"moved to {path.parent}"
    return None
