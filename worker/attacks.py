"""What the server's probe tries from inside the sandbox, before any plugin is run.

    python -I -S <folder> <descriptor>

The descriptor holds a JSON object: `confinement` (see `worker.confinement`) and `targets`. The
attacks run in the order below; each gives an empty text when it failed, or what it got hold of.
The answer is a line of JSON per attack on standard output, so that what was found is known even
when the last attack, which is to be killed, is.
"""

from __future__ import annotations

import base64
import contextlib
import ctypes
import json
import mmap
import os
import platform
import socket
import sys
import threading
from collections.abc import Callable
from typing import Any

from worker.confinement import Confinement, enter, seal
from worker.process import await_admission

__all__ = ["ATTACKS", "main"]

_CLONE_NEWUSER = 0x10000000
_PTRACE_ATTACH = 16
_PTRACE = {"x86_64": 101, "aarch64": 117}
_KEYCTL = {"x86_64": 250, "aarch64": 219}
_IO_URING_SETUP = 425
_PAGE = 4096
_TIMEOUT_S = 0.2

Targets = dict[str, Any]
_libc = ctypes.CDLL(None, use_errno=True)


def main() -> None:
    """Put the layers on, then try everything."""
    await_admission()
    with open(int(sys.argv[1]), "rb") as file:  # noqa: PTH123  a descriptor
        document = json.load(file)
    given = document["confinement"]
    if given is not None and given["seccomp"] is not None:
        given["seccomp"] = base64.b64decode(given["seccomp"])
    confinement = Confinement.from_fields(given)
    landlock_abi = enter(confinement)
    seal(confinement)
    _tell("landlock_abi", landlock_abi)
    for name, attack in ATTACKS.items():
        _tell(name, _try(attack, document["targets"]))


def _tell(name: str, result: object) -> None:
    os.write(1, json.dumps([name, result]).encode() + b"\n")


def _try(attack: Callable[[Targets], str], targets: Targets) -> str:
    try:
        return attack(targets)
    except (OSError, MemoryError, RuntimeError, ValueError):
        return ""


def _read_file(targets: Targets) -> str:
    with open(targets["secret"], "rb") as file:  # noqa: PTH123
        file.read(1)
    return "a file outside was read"


def _write_file(targets: Targets) -> str:
    path = os.path.join(targets["folder"], "written")  # noqa: PTH118
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
    return "a file outside was made"


def _see_process(targets: Targets) -> str:
    with open(f"/proc/{targets['pid']}/cmdline", "rb") as file:  # noqa: PTH123
        is_it = targets["word"].encode() in file.read()
    return "the command line of another process was read" if is_it else ""


def _signal_process(targets: Targets) -> str:
    os.kill(targets["pid"], 0)
    return "another process can be signalled"


def _trace_process(targets: Targets) -> str:
    number = _PTRACE.get(platform.machine())
    if number is None or _libc.syscall(number, _PTRACE_ATTACH, targets["pid"], 0, 0) != 0:
        return ""
    return "another process can be traced"


def _connect_tcp(targets: Targets) -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as client:
        client.settimeout(_TIMEOUT_S)
        client.connect(("127.0.0.1", targets["port"]))
    return "a port of the machine was reached"


def _connect_unix(targets: Targets) -> str:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.connect(targets["socket"])
    return "a unix socket by name was reached"


def _connect_abstract(targets: Targets) -> str:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.connect("\0" + targets["abstract"])
    return "an abstract unix socket was reached"


def _rare_call(_targets: Targets) -> str:
    for number in (_IO_URING_SETUP, _KEYCTL.get(platform.machine(), _IO_URING_SETUP)):
        ctypes.set_errno(0)
        if _libc.syscall(number, 0, 0) >= 0 or ctypes.get_errno() not in _REFUSALS:
            return f"system call {number} was reached"
    return ""


def _nested_namespace(_targets: Targets) -> str:
    return "a namespace was made" if _libc.unshare(_CLONE_NEWUSER) == 0 else ""


def _start_program(_targets: Targets) -> str:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    return "a process was started"


def _be_root(targets: Targets) -> str:
    with contextlib.suppress(OSError):
        os.setresuid(0, 0, 0)
    if os.getuid() == targets["server_uid"]:
        return "it runs as the server's user"
    return ""


def _many_threads(targets: Targets) -> str:
    release = threading.Event()
    threads = []
    try:
        for _ in range(targets["threads"]):
            thread = threading.Thread(target=release.wait, daemon=True)
            thread.start()
            threads.append(thread)
    finally:
        release.set()
        for thread in threads:
            thread.join()
    return f"{targets['threads']} threads were started"


def _large_tmp(targets: Targets) -> str:
    status = os.statvfs(os.environ.get("TMPDIR", "/tmp"))  # noqa: S108
    size = status.f_blocks * status.f_frsize
    if size > targets["tmp_bytes"]:
        return "files in tmp are bounded only by the disk"
    return "" if status.f_files <= targets["tmp_inodes"] else "any number of files fit into tmp"


def _much_memory(targets: Targets) -> str:
    # Shared, so that no limit of the process itself counts it.
    with mmap.mmap(-1, targets["memory_bytes"]) as memory:
        for offset in range(0, targets["memory_bytes"], _PAGE):
            memory[offset] = 1
    return "the server has to watch it, which takes a moment"


_REFUSALS = (1, 38)  # EPERM, ENOSYS
ATTACKS: dict[str, Callable[[Targets], str]] = {
    "read_file": _read_file,
    "write_file": _write_file,
    "see_process": _see_process,
    "signal_process": _signal_process,
    "trace_process": _trace_process,
    "connect_tcp": _connect_tcp,
    "connect_unix": _connect_unix,
    "connect_abstract": _connect_abstract,
    "rare_call": _rare_call,
    "be_root": _be_root,
    "nested_namespace": _nested_namespace,
    "start_program": _start_program,
    "large_tmp": _large_tmp,
    "many_threads": _many_threads,
    "much_memory": _much_memory,
}
