"""Bombs that take several processes. Where a fork is refused, all of them end at once."""

from __future__ import annotations

import os
import signal
import threading
from typing import Any

from .catalog import MIB, Local, World, attack

_MOST_CHILDREN = 300
_CHILDREN = 4
_EACH = 200 * MIB
_WATCHED_S = 2.0
_PARENT_GONE = 1


def _child(work: Any) -> int:  # noqa: ANN401  a call
    """Fork a child that does something and then waits to be killed."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
            signal.alarm(20)  # so that none is left behind in any case
            signal.pause()
        finally:
            os._exit(_PARENT_GONE)
    return pid


def _end(children: list[int]) -> None:
    for pid in children:
        os.kill(pid, signal.SIGKILL)
    for pid in children:
        os.waitpid(pid, 0)


@attack(is_deadly=True, is_heavy=True)
def fork_bomb(world: World, local: Local) -> str | None:
    """Try: 300 children where 64 processes are allowed. Safe: refused before."""
    children: list[int] = []
    try:
        for _ in range(_MOST_CHILDREN):
            children.append(_child(lambda: None))  # noqa: PERF401  what was started must be known
    finally:
        _end(children)
    return f"{len(children)} children"


@attack(is_deadly=True, is_heavy=True, grants=("subprocess",))
def granted_fork_bomb(world: World, local: Local) -> str | None:
    """Try: the same with processes granted. Safe: refused at the limit."""
    children: list[int] = []
    try:
        for _ in range(_MOST_CHILDREN):
            children.append(_child(lambda: None))  # noqa: PERF401  what was started must be known
    except OSError:
        if len(children) < 100:
            raise
    finally:
        _end(children)
    return f"{len(children)} children"


@attack(is_deadly=True, is_heavy=True)
def memory_of_children(world: World, local: Local) -> str | None:
    """Try: 800 MiB in four children, none of them above the limit of 512. Safe: killed."""
    return _memory_of_children()


@attack(is_deadly=True, is_heavy=True, grants=("subprocess",))
def granted_memory_of_children(world: World, local: Local) -> str | None:
    """Try: the same with processes granted. Safe: killed."""
    return _memory_of_children()


def _memory_of_children() -> str | None:
    held: list[bytearray] = []
    children: list[int] = []
    try:
        for _ in range(_CHILDREN):
            children.append(_child(lambda: held.append(bytearray(b"x") * _EACH)))  # noqa: PERF401
        threading.Event().wait(_WATCHED_S)
        alive = [pid for pid in children if os.waitpid(pid, os.WNOHANG) == (0, 0)]
    finally:
        _end_those_left(children)
    return f"{len(alive)} children hold {_EACH // MIB} MiB each" if len(alive) > 2 else None


def _end_those_left(children: list[int]) -> None:
    for pid in children:
        try:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        except OSError:  # it has ended, and was waited for
            continue
