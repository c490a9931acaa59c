"""System calls that no plugin needs, each of which has been a way out of some sandbox.

A safe engine has them answered by a filter, so that the kernel's code behind them is not reached.
The arguments are such that nothing happens where they are answered by the kernel.
"""

from __future__ import annotations

import ctypes
import fcntl
import mmap
import os
import platform
import signal
import struct
import threading
from collections.abc import Callable

from .catalog import Local, World, attack
from .kernel import LIBC, checked, numbered, reached, syscall

_CLONE_NEWNS = 0x00020000
_CLONE_NEWUTS = 0x04000000
_CLONE_NEWUSER = 0x10000000
_CLONE_NEWPID = 0x20000000
_CLONE_NEWNET = 0x40000000
_TIOCSTI = 0x5412
_TIOCLINUX = 0x541C
_READ_IMPLIES_EXEC = 0x0400000
_X32 = 0x40000000
_SELF = -1
_UFFD_USER_MODE_ONLY = 1
_SENSELESS = 9999


def _in_thread(call: Callable[[], str | None]) -> str | None:
    """Call in a thread of its own, which takes what it has changed along when it ends."""
    outcomes: list[str | OSError | None] = []

    def run() -> None:
        try:
            outcomes.append(call())
        except OSError as error:
            outcomes.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    outcome = outcomes[0]
    if isinstance(outcome, OSError):
        raise outcome
    return outcome


def _buffer(size: int) -> ctypes.Array[ctypes.c_char]:
    return ctypes.create_string_buffer(size)


@attack()
def io_uring(world: World, local: Local) -> str | None:
    """Try: io_uring, whose operations no filter sees. Safe: no such call."""
    return reached(lambda: os.close(syscall("io_uring_setup", 1, _buffer(120))))


@attack()
def bpf(world: World, local: Local) -> str | None:
    """Try: bpf. Safe: refused."""
    return reached(lambda: syscall("bpf", _SENSELESS, _buffer(128), 128))


@attack()
def perf_events(world: World, local: Local) -> str | None:
    """Try: perf_event_open. Safe: refused."""
    return reached(lambda: syscall("perf_event_open", None, 0, -1, -1, 0))


@attack()
def userfaultfd(world: World, local: Local) -> str | None:
    """Try: userfaultfd, which holds the kernel up in the middle of a copy. Safe: refused."""
    return reached(lambda: os.close(syscall("userfaultfd", _UFFD_USER_MODE_ONLY)))


@attack()
def keyrings(world: World, local: Local) -> str | None:
    """Try: keyctl and add_key; keyrings know no namespaces. Safe: refused."""
    return reached(lambda: syscall("keyctl", 0, _SELF, 1, 0, 0)) or reached(
        lambda: syscall("add_key", b"user", b"escape", b"x", 1, _SELF)
    )


@attack()
def kexec(world: World, local: Local) -> str | None:
    """Try: kexec_load. Safe: refused."""
    return reached(lambda: syscall("kexec_load", 0, 0, None, _SENSELESS))


@attack()
def kernel_modules(world: World, local: Local) -> str | None:
    """Try: init_module with an empty module. Safe: refused."""
    return reached(lambda: syscall("init_module", b"", 0, b""))


@attack()
def mount(world: World, local: Local) -> str | None:
    """Try: mount a file system. Safe: refused."""
    place = os.path.join(os.environ["PLUGIN_DIR"], f"{world.mark}-mount")
    os.mkdir(place)
    try:
        syscall("mount", b"none", place.encode(), b"tmpfs", 0, b"size=4096")
        syscall("umount2", place.encode(), 0)
    finally:
        os.rmdir(place)
    return "mounted a file system"


@attack()
def copy_mounts(world: World, local: Local) -> str | None:
    """Try: open_tree, the newer way to mount. Safe: refused."""
    return reached(lambda: os.close(syscall("open_tree", -100, b"/", 1)))


@attack()
def new_namespaces(world: World, local: Local) -> str | None:
    """Try: unshare. Safe: refused."""
    flags = _CLONE_NEWUTS | _CLONE_NEWNS
    return _in_thread(lambda: reached(lambda: syscall("unshare", flags)))


@attack()
def new_user_namespace(world: World, local: Local) -> str | None:
    """Try: a nested user namespace, in which one is root, by clone. Safe: refused."""
    flags = _CLONE_NEWUSER | _CLONE_NEWNS | _CLONE_NEWPID | _CLONE_NEWNET | signal.SIGCHLD
    pid = syscall("clone", flags, 0, 0, 0, 0)
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    return "made a user namespace"


@attack()
def new_user_namespace_by_clone3(world: World, local: Local) -> str | None:
    """Try: the same by clone3, whose flags a filter cannot see. Safe: no such call."""
    request = ctypes.create_string_buffer(
        struct.pack("=11Q", _CLONE_NEWUSER | _CLONE_NEWNET, 0, 0, 0, signal.SIGCHLD, *[0] * 6)
    )
    pid = syscall("clone3", request, 88)
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    return "made a user namespace"


@attack()
def join_namespaces(world: World, local: Local) -> str | None:
    """Try: setns, into a namespace that is one's own already. Safe: refused."""
    place = os.open("/proc/self/ns/uts", os.O_RDONLY)
    try:
        return _in_thread(lambda: reached(lambda: syscall("setns", place, 0)))
    finally:
        os.close(place)


@attack()
def join_server_namespaces(world: World, local: Local) -> str | None:
    """Try: setns into the namespaces of the server. Safe: no such process."""
    place = os.open(f"/proc/{world.server_pid}/ns/net", os.O_RDONLY)
    try:
        return _in_thread(lambda: reached(lambda: syscall("setns", place, 0)))
    finally:
        os.close(place)


@attack()
def pivot_root(world: World, local: Local) -> str | None:
    """Try: pivot_root with folders that do not exist. Safe: refused."""
    return reached(lambda: syscall("pivot_root", b"/nowhere", b"/nowhere"))


@attack()
def personality(world: World, local: Local) -> str | None:
    """Try: switch protections of memory off by personality. Safe: refused."""
    before = syscall("personality", 0xFFFFFFFF)
    syscall("personality", before | _READ_IMPLIES_EXEC)
    syscall("personality", before)
    return "memory that can be read can be executed"


@attack()
def set_clock(world: World, local: Local) -> str | None:
    """Try: set the clock, to a time that cannot be read. Safe: refused."""
    return reached(lambda: syscall("clock_settime", 0, None))


@attack()
def type_for_others(world: World, local: Local) -> str | None:
    """Try: TIOCSTI and TIOCLINUX, which type into a terminal. Safe: refused on any descriptor."""
    place = os.open("/dev/null", os.O_RDWR)
    try:
        return reached(lambda: fcntl.ioctl(place, _TIOCSTI, b"x")) or reached(
            lambda: fcntl.ioctl(place, _TIOCLINUX, b"\x02")
        )
    finally:
        os.close(place)


@attack()
def type_with_high_bits(world: World, local: Local) -> str | None:
    """Try: the same with bits above the 32 that count, to fool a filter. Safe: refused."""
    place = os.open("/dev/null", os.O_RDWR)
    request = ctypes.c_ulong(_TIOCSTI | 1 << 32)
    try:
        return reached(lambda: checked(LIBC.ioctl(place, request, b"x")))
    finally:
        os.close(place)


@attack(is_deadly=True)
def x32_entry(world: World, local: Local) -> str | None:
    """Try: system calls by their x32 numbers, around a filter. Safe: killed, or no such call."""
    if platform.machine() != "x86_64":
        return None
    return f"process {numbered(_X32 | 39)}"


@attack(is_deadly=True)
def i386_entry(world: World, local: Local) -> str | None:
    """Try: system calls by the 32-bit gate, with numbers of their own. Safe: killed."""
    if platform.machine() != "x86_64":
        return None
    code = b"\xb8\x14\x00\x00\x00\xcd\x80\xc3"  # getpid by int 0x80
    page = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(code)
    entry = ctypes.addressof(ctypes.c_char.from_buffer(page))
    pid = ctypes.CFUNCTYPE(ctypes.c_int)(entry)()
    return f"process {pid}" if pid == os.getpid() else None


@attack()
def watch_all_files(world: World, local: Local) -> str | None:
    """Try: fanotify. Safe: refused."""
    return reached(lambda: os.close(syscall("fanotify_init", 0, 0)))


@attack()
def kernel_log(world: World, local: Local) -> str | None:
    """Try: read the kernel's log. Safe: refused."""
    return reached(lambda: syscall("syslog", 10, None, 0))


@attack()
def swap(world: World, local: Local) -> str | None:
    """Try: swapon with a file that does not exist. Safe: refused."""
    return reached(lambda: syscall("swapon", b"/nowhere", 0))


@attack()
def reboot(world: World, local: Local) -> str | None:
    """Try: reboot without its magic numbers, which does nothing. Safe: refused."""
    return reached(lambda: syscall("reboot", 0, 0, 0, None))


@attack()
def quotas(world: World, local: Local) -> str | None:
    """Try: quotactl with a senseless command. Safe: refused."""
    return reached(lambda: syscall("quotactl", -1, None, 0, None))


@attack()
def file_handles(world: World, local: Local) -> str | None:
    """Try: name_to_handle_at, which prepares for open_by_handle_at. Safe: refused."""
    return reached(lambda: syscall("name_to_handle_at", -100, b"/", _buffer(8), _buffer(4), 0))


@attack()
def host_name(world: World, local: Local) -> str | None:
    """Try: set the machine's name, to what it is. Safe: refused."""
    name = platform.node().encode()
    checked(LIBC.sethostname(name, len(name)))
    return "set the name"
