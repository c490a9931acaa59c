"""What a worker does to itself before anything foreign runs: identity, files, system calls.

Four steps in this order, each for good: `limit` what it takes, `become` another user without any
capability, `restrict` the files and ports (Landlock), `seal` the system calls (seccomp). Sockets to
the engine are connected between the last two. Each raises OSError with a text that names the step;
the process then has to end. Takes no library but `os`, `ctypes`, `struct`, `errno`, `resource`.
Called by the only thread of a starting process; `seal` holds threads started before as well.
"""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import struct

from worker.landlock import abi, restrict
from worker.seccomp import seal

__all__ = ["abi", "become", "limit", "restrict", "seal"]

_PR_SET_DUMPABLE = 4
_PR_CAPBSET_DROP = 24
_PR_SET_NO_NEW_PRIVS = 38
_PR_CAP_AMBIENT = 47
_CLEAR_ALL = 4

_CAPABILITY_VERSION = 0x20080522  # the third, with 64 bits in two halves

_MS_NOSUID = 2
_MS_NODEV = 4
_MS_REMOUNT = 32

_libc = ctypes.CDLL(None, use_errno=True)


def limit(rlimits: list[tuple[int, int, int]]) -> None:
    """Bound what this process and each that it starts may take.

    Nobody can do that from outside: a process that is being forked gets the limits from before.

    Args:
        rlimits: resource, soft and hard limit.

    Raises:
        OSError: a limit is above what the process may have.
    """
    for which, soft, hard in rlimits:
        try:
            resource.setrlimit(which, (soft, hard))
        except (OSError, ValueError) as error:
            text = f"limit: cannot limit resource {which} to {soft} and {hard}: {error}"
            raise OSError(errno.EPERM, text) from error


def become(uid: int | None, gid: int | None, tmp: list[tuple[str, int, int]]) -> None:
    """Take another identity, without groups and without any capability.

    The parent-death signal is lost when the identity changes: ask for it afterwards.

    Args:
        uid: the user; None stays who we are.
        gid: the group; None stays as it is.
        tmp: mounted tmpfs folders to limit before: path, bytes, inodes.

    Raises:
        OSError: a step failed, which one is said.
    """
    for path, max_bytes, inodes in tmp:
        _limit(path, max_bytes, inodes)
    _drop_bounding_set()
    try:
        _switch(uid, gid)
    except OSError as error:
        text = f"become: cannot switch to user {uid}, group {gid}: {error.strerror}"
        raise OSError(error.errno, text) from error
    _drop_capabilities()
    # Changing the user hides the process from itself in /proc, where psutil looks.
    _prctl(_PR_SET_DUMPABLE, 1, "stay readable in /proc")
    _prctl(_PR_SET_NO_NEW_PRIVS, 1, "set no_new_privs")
    _verify(uid, gid)


def _switch(uid: int | None, gid: int | None) -> None:
    if gid is not None:
        os.setgroups([])
        os.setresgid(gid, gid, gid)
    if uid is not None:
        os.setresuid(uid, uid, uid)


def _limit(path: str, max_bytes: int, inodes: int) -> None:
    options = f"size={max_bytes},nr_inodes={inodes}".encode()
    flags = ctypes.c_ulong(_MS_REMOUNT | _MS_NOSUID | _MS_NODEV)
    if _libc.mount(b"tmpfs", os.fsencode(path), None, flags, options):
        _fail(f"limit {path}")


def _drop_bounding_set() -> None:
    # Who may not change it cannot gain anything by it either, see no_new_privs below.
    capability = 0
    while _libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0) == 0:
        capability += 1


def _drop_capabilities() -> None:
    _libc.prctl(_PR_CAP_AMBIENT, _CLEAR_ALL, 0, 0, 0)  # older kernels have none to clear
    head = struct.pack("=Ii", _CAPABILITY_VERSION, 0)
    if _libc.capset(head, bytes(24)):
        _fail("drop the capabilities")


def _verify(uid: int | None, gid: int | None) -> None:
    held = ctypes.create_string_buffer(24)
    if _libc.capget(struct.pack("=Ii", _CAPABILITY_VERSION, 0), held):
        _fail("read the capabilities")
    is_wrong_user = uid is not None and os.getresuid() != (uid, uid, uid)
    is_wrong_group = gid is not None and (os.getresgid() != (gid, gid, gid) or os.getgroups())
    if is_wrong_user or is_wrong_group or any(held.raw):
        raise OSError(errno.EPERM, "become: privileges are left")


def _prctl(option: int, value: int, step: str) -> None:
    if _libc.prctl(option, value, 0, 0, 0) < 0:
        _fail(step)


def _fail(step: str) -> None:
    number = ctypes.get_errno()
    raise OSError(number, f"become: cannot {step}: {os.strerror(number)}")
