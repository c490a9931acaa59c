"""Landlock for this process: only the named files, one port, nobody else's sockets and signals.

The kernel says which version of the interface (ABI) it has; everything of that version that can
be refused is refused, and what a rule names is given back. A version newer than the newest known
here is used like that one. Right by right, with the ABI that brought it:

    files   0-12 in 1, REFER 13 in 2, TRUNCATE 14 in 3, IOCTL_DEV 15 in 5, RESOLVE_UNIX 16 in 9
    ports   BIND_TCP 0 and CONNECT_TCP 1 in 4, BIND_UDP 2 and CONNECT_SEND_UDP 3 in 10
    scopes  ABSTRACT_UNIX_SOCKET 0 and SIGNAL 1 in 6
    flags   LOG_SAME_EXEC_OFF 0 and LOG_SUBDOMAINS_OFF 2 in 7: or a plugin fills the audit log;
            TSYNC 3 in 8: all threads; before that only the calling thread and what it starts

Mapping a library needs READ_FILE alone: EXECUTE is about starting programs. Descriptors that are
open already keep what they can do. Imported before anything foreign, so it takes no library but
`os`, `ctypes`, `struct` and `errno`. Called by the only thread of a starting process.
Source: Linux, userspace API of Landlock.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct

__all__ = ["ACCESS", "abi", "restrict"]

# One number on every architecture.
_CREATE_RULESET = 444
_ADD_RULE = 445
_RESTRICT_SELF = 446

_VERSION = 1
_PATH_BENEATH = 1
_NET_PORT = 2
_TSYNC_SINCE = 8
_PR_SET_NO_NEW_PRIVS = 38

_EXECUTE = 1 << 0
_WRITE_FILE = 1 << 1
_READ_FILE = 1 << 2
_READ_DIR = 1 << 3
_MAKE_CHAR = 1 << 6
_MAKE_BLOCK = 1 << 11
_TRUNCATE = 1 << 14
_IOCTL_DEV = 1 << 15
_RESOLVE_UNIX = 1 << 16
_CONNECT_TCP = 1 << 1

# What can be handled, from the ABI at the left on.
_FILES = ((1, 0x1FFF), (2, 1 << 13), (3, _TRUNCATE), (5, _IOCTL_DEV), (9, _RESOLVE_UNIX))
_PORTS = ((4, 0b11), (10, 0b1100))
_SCOPES = ((6, 0b11),)
_FLAGS = ((7, 0b101), (_TSYNC_SINCE, 1 << 3))

# The only rights that a rule for something other than a folder may hold.
_OF_A_FILE = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEV | _RESOLVE_UNIX
_READ = _READ_FILE | _READ_DIR
_NEVER = _EXECUTE | _MAKE_CHAR | _MAKE_BLOCK | _IOCTL_DEV | _RESOLVE_UNIX

# What a file is, in its mode.
_KIND = 0o170000
_FOLDER = 0o040000

ACCESS = {
    "read": _READ,
    "write": (_READ | 0x1FFF | 1 << 13 | _TRUNCATE) & ~_NEVER,
    "device": _READ_FILE | _WRITE_FILE,
    "socket": _RESOLVE_UNIX,
}
_RUNS = ("read", "write")

# A path that cannot be reached needs no rule.
_OUT_OF_REACH = (errno.ENOENT, errno.ENOTDIR, errno.EACCES)

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


def abi() -> int:
    """Return the kernel's version of the interface, 0 where there is none or it is off."""
    return max(0, int(_libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), _VERSION)))


def restrict(
    rules: list[tuple[str, str]],
    connect_port: int | None = None,
    with_exec: bool = False,  # noqa: FBT001, FBT002 - one of three words of a confinement
) -> int:
    """Refuse this process every file, port, abstract socket and signal but those given.

    Args:
        rules: path and access: `read`, `write` (with everything below a folder), `device` (reads
            and writes a node), `socket` (connects to sockets at or below it). A path that does
            not exist is left out. Links are followed.
        connect_port: the only TCP port that can be connected to.
        with_exec: programs below `read` and `write` paths may be started.

    Returns:
        The kernel's ABI; 0 says that nothing is restricted.

    Raises:
        OSError: a step failed, which one is said; the process must not go on.
        ValueError: an access that is not one of those above.
    """
    version = abi()
    if not version:
        return 0
    files = _known(_FILES, version)
    ports = _known(_PORTS, version)
    ruleset = _create(files, ports, _known(_SCOPES, version))
    try:
        for path, access in rules:
            _allow(ruleset, path, _rights(access, with_exec=with_exec) & files)
        if connect_port is not None and ports:
            _add(ruleset, _NET_PORT, struct.pack("=QQ", _CONNECT_TCP, connect_port), "port")
        _enforce(ruleset, version)
    finally:
        os.close(ruleset)
    return version


def _known(steps: tuple[tuple[int, int], ...], version: int) -> int:
    rights = 0
    for since, bits in steps:
        if since <= version:
            rights |= bits
    return rights


def _rights(access: str, *, with_exec: bool) -> int:
    if access not in ACCESS:
        raise ValueError(f"no access is called {access!r}")
    return ACCESS[access] | (_EXECUTE if with_exec and access in _RUNS else 0)


def _create(files: int, ports: int, scopes: int) -> int:
    # An older kernel takes the longer structure as long as what it does not know is zero.
    attributes = struct.pack("=QQQ", files, ports, scopes)
    size = ctypes.c_size_t(len(attributes))
    return _done(_libc.syscall(_CREATE_RULESET, attributes, size, 0), "create a ruleset")


def _allow(ruleset: int, path: str, rights: int) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in _OUT_OF_REACH:
            return
        raise
    try:
        is_folder = (os.fstat(descriptor).st_mode & _KIND) == _FOLDER
        rights &= -1 if is_folder else _OF_A_FILE
        if rights:
            _add(ruleset, _PATH_BENEATH, struct.pack("=Qi", rights, descriptor), path)
    finally:
        os.close(descriptor)


def _add(ruleset: int, kind: int, rule: bytes, what: str) -> None:
    _done(_libc.syscall(_ADD_RULE, ruleset, kind, rule, 0), f"add a rule for {what}")


def _enforce(ruleset: int, version: int) -> None:
    if version < _TSYNC_SINCE and len(os.listdir("/proc/self/task")) > 1:  # noqa: PTH208 - cheap
        raise OSError(errno.EBUSY, "landlock: another thread would stay unrestricted")
    _done(_libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "set no_new_privs")
    flags = _known(_FLAGS, version)
    _done(_libc.syscall(_RESTRICT_SELF, ruleset, flags), "restrict the process")


def _done(result: int, step: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"landlock: cannot {step}: {os.strerror(number)}")
    return int(result)
