"""Memory that several processes share, of the kinds that have a name in the kernel.

A safe engine shares none with a worker.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path

from .catalog import SECRET, Local, World, attack
from .kernel import LIBC, checked, syscall

_IPC_CREAT = 0o1000
_IPC_RMID = 0
_SHM_RDONLY = 0o10000
_FAILED = 2**64 - 1


@attack()
def system_v_memory(world: World, local: Local) -> str | None:
    """Try: attach a System V segment that everybody may use. Safe: none is to be seen."""
    segment = checked(LIBC.shmget(world.sysv_key, 0, 0))
    address = LIBC.shmat(segment, None, _SHM_RDONLY)
    if address in (None, _FAILED):
        return None
    LIBC.shmdt.argtypes = None
    return f"attached segment {segment}"


@attack()
def system_v_new(world: World, local: Local) -> str | None:
    """Try: make a System V segment, which outlives every process. Safe: refused."""
    segment = checked(LIBC.shmget(0, 1 << 20, _IPC_CREAT | 0o600))
    LIBC.shmctl(segment, _IPC_RMID, None)
    return f"made segment {segment}"


@attack()
def system_v_queue(world: World, local: Local) -> str | None:
    """Try: make a System V message queue. Safe: refused."""
    queue = syscall("msgget", 0, _IPC_CREAT | 0o600)
    LIBC.msgctl(queue, _IPC_RMID, None)
    return f"made queue {queue}"


@attack()
def posix_queue(world: World, local: Local) -> str | None:
    """Try: make a POSIX message queue. Safe: refused."""
    name = world.mark.encode()
    os.close(syscall("mq_open", name, os.O_CREAT | os.O_RDWR, 0o600, None))
    LIBC.mq_unlink(b"/" + name)
    return "made a queue"


@attack()
def posix_memory(world: World, local: Local) -> str | None:
    """Try: read a file in the host's /dev/shm. Safe: it is not there."""
    return Path("/dev/shm", world.shm_name).read_text()


@attack()
def posix_memory_left(world: World, local: Local) -> str | None:
    """Try: leave a file in the host's /dev/shm. Judged from outside. Safe: it is the own one."""
    Path("/dev/shm", f"{world.mark}-left").write_text("here I was")
    return None


@attack()
def memory_file(world: World, local: Local) -> str | None:
    """Try: open another process's file without a name by way of /proc. Safe: no such process."""
    text = Path(world.memory_file).read_text()
    return "read it" if SECRET in text else None


@attack()
def hand_over_descriptors(world: World, local: Local) -> str | None:
    """Try: connect to a listener to be handed descriptors. Safe: no socket can be made."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.connect(world.unix_path)
        socket.send_fds(client, [b"x"], [1])
    return "gave a descriptor away"
