"""Bombs: taking more than a share of threads, memory, disk and descriptors, from one process.

Each stops by itself at a stated amount and cleans up, also where nothing stops it. A safe engine
refuses at the limit or kills the worker; what is taken by then is a little more than the limit.
"""

from __future__ import annotations

import mmap
import os
import shutil
import threading
from pathlib import Path
from typing import Any

from .catalog import MIB, Local, World, attack

_MOST_THREADS = 600
_TOO_MANY = 80
_MOST_FILES = 3000
_MOST_INODES = 24_000
_TAKEN = 700 * MIB  # above the default limit of 512 MiB
_DISK = 400 * MIB  # above the default limit of 256 MiB
_TEMPORARY = 160 * MIB  # above the 64 MiB of /tmp
_WATCHED_S = 2.5  # a watcher without the kernel's help looks every second
_PIECE = b"x" * (4 * MIB)


def _pause(seconds: float) -> None:
    threading.Event().wait(seconds)


def _fill(folder: Path, wanted: int, piece: int) -> int:
    """Write files of some size until so much is written; return the bytes."""
    folder.mkdir()
    written = 0
    while written < wanted:
        with (folder / str(written)).open("wb", buffering=0) as file:
            while file.tell() < piece:
                written += file.write(_PIECE)
    return written


@attack(is_deadly=True)
def threads(world: World, local: Local) -> str | None:
    """Try: 600 threads where 64 are allowed. Safe: refused before, or killed soon after."""
    gate = threading.Event()
    started = []
    try:
        for _ in range(_MOST_THREADS):
            thread = threading.Thread(target=gate.wait, daemon=True)
            thread.start()
            started.append(thread)
    except RuntimeError:
        if len(started) < _TOO_MANY:
            raise
    else:
        return f"{len(started)} threads"
    finally:
        # Fewer than tried, more than allowed: somebody may still be on his way.
        _pause(_WATCHED_S if _TOO_MANY <= len(started) < _MOST_THREADS else 0)
        gate.set()
        for thread in started:
            thread.join()
    return f"{len(started)} threads"


@attack(is_deadly=True, is_heavy=True)
def memory(world: World, local: Local) -> str | None:
    """Try: touch 700 MiB where 512 are allowed. Safe: MemoryError, or the worker is killed."""
    held = [bytearray(b"x") * (50 * MIB) for _ in range(_TAKEN // (50 * MIB))]
    _pause(_WATCHED_S)
    return f"held {sum(map(len, held)) // MIB} MiB"


@attack(is_deadly=True, is_heavy=True)
def mapped_memory(world: World, local: Local) -> str | None:
    """Try: the same by shared mappings, which no limit of private data counts. Safe: killed."""
    held = []
    for _ in range(_TAKEN // (50 * MIB)):
        part = mmap.mmap(-1, 50 * MIB, flags=mmap.MAP_SHARED | mmap.MAP_ANONYMOUS)
        for offset in range(0, len(part), mmap.PAGESIZE):
            part[offset] = 1
        held.append(part)
    _pause(_WATCHED_S)
    for part in held:
        part.close()
    return f"held {_TAKEN // MIB} MiB"


@attack(is_deadly=True, is_heavy=True)
def memory_files(world: World, local: Local) -> str | None:
    """Try: 700 MiB in files without a name, which belong to no process. Safe: killed."""
    held = []
    try:
        for _ in range(_TAKEN // (50 * MIB)):
            held.append(os.memfd_create("held"))
            for _ in range(0, 50 * MIB, len(_PIECE)):
                os.write(held[-1], _PIECE)
        _pause(_WATCHED_S)
    finally:
        for descriptor in held:
            os.close(descriptor)
    return f"held {_TAKEN // MIB} MiB"


@attack(is_deadly=True, is_heavy=True)
def pipes(world: World, local: Local) -> str | None:
    """Try: fill pipes of 1 MiB each, whose bytes are the kernel's. Safe: few, or killed."""
    held: list[int] = []
    filled = 0
    try:
        while filled < _TAKEN:
            reading, writing = os.pipe2(os.O_NONBLOCK)
            held += [reading, writing]
            _enlarge(writing)
            filled += os.write(writing, _PIECE)
    except OSError as error:
        if filled < 300 * MIB:
            raise
        return f"{filled // MIB} MiB in pipes, then {error}"
    finally:
        for descriptor in held:
            os.close(descriptor)
    return f"{filled // MIB} MiB in pipes"


def _enlarge(pipe: int) -> None:
    import fcntl  # noqa: PLC0415  only here

    fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, MIB)


@attack(is_deadly=True, is_heavy=True)
def shared_memory_folder(world: World, local: Local) -> str | None:
    """Try: 700 MiB in /dev/shm, which is memory. Safe: no space after 64 MiB."""
    folder = Path("/dev/shm", f"{world.mark}-bomb")
    try:
        written = _fill(folder, _TAKEN, 50 * MIB)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return f"{written // MIB} MiB in /dev/shm"


@attack(is_deadly=True, is_heavy=True)
def temporary_folder(world: World, local: Local) -> str | None:
    """Try: 160 MiB in /tmp. Safe: no space after 64 MiB."""
    folder = Path("/tmp", f"{world.mark}-bomb")
    try:
        written = _fill(folder, _TEMPORARY, 40 * MIB)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return f"{written // MIB} MiB in /tmp"


@attack(is_deadly=True)
def root_folder(world: World, local: Local) -> str | None:
    """Try: write to the folders that lead to what the worker needs. Safe: read-only."""
    for place in ("/", "/run", "/run/bulkhead", "/etc", "/dev", str(Path(world.plugin_dir).parent)):
        folder = Path(place, f"{world.mark}-bomb")
        try:
            folder.mkdir()
        except OSError:
            continue
        folder.rmdir()
        return f"can write to {place}"
    return None


@attack(is_heavy=True)
def temporary_inodes(world: World, local: Local) -> str | None:
    """Try: 24,000 empty files in /tmp, each of which takes kernel memory. Safe: 16,384 at most."""
    return _many_files(Path("/tmp", f"{world.mark}-many"), _MOST_INODES)


@attack(is_heavy=True)
def shared_memory_inodes(world: World, local: Local) -> str | None:
    """Try: 24,000 empty files in /dev/shm. Safe: 16,384 at most."""
    return _many_files(Path("/dev/shm", f"{world.mark}-many"), _MOST_INODES)


def _many_files(folder: Path, wanted: int) -> str:
    folder.mkdir()
    try:
        for number in range(wanted):
            os.close(os.open(folder / str(number), os.O_CREAT | os.O_WRONLY))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return f"{wanted} files in {folder.parent}"


@attack(is_deadly=True, is_heavy=True)
def private_disk(world: World, local: Local) -> str | None:
    """Try: 400 MiB in the own folder where 256 are allowed. Safe: refused, or the worker ends."""
    folder = Path(os.environ["PLUGIN_DIR"], f"{world.mark}-bomb")
    try:
        written = _fill(folder, _DISK, 50 * MIB)
        _pause(_WATCHED_S)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return f"{written // MIB} MiB in the own folder"


@attack(is_deadly=True, is_heavy=True)
def unlinked_disk(world: World, local: Local) -> str | None:
    """Try: 400 MiB in files that have been removed but are open. Safe: refused, or it ends."""
    path = Path(os.environ["PLUGIN_DIR"], f"{world.mark}-unlinked")
    held = []
    try:
        for _ in range(_DISK // (50 * MIB)):
            held.append(path.open("wb", buffering=0))
            path.unlink()
            for _ in range(0, 50 * MIB, len(_PIECE)):
                held[-1].write(_PIECE)
        _pause(_WATCHED_S)
    finally:
        for file in held:
            file.close()
    return f"{_DISK // MIB} MiB in removed files"


@attack(is_deadly=True)
def huge_file(world: World, local: Local) -> str | None:
    """Try: a file of 1 TiB with nothing in it, a trap for whoever reads it. Safe: refused."""
    path = Path(os.environ["PLUGIN_DIR"], f"{world.mark}-huge")
    try:
        path.touch()
        os.truncate(path, 1 << 40)
    finally:
        path.unlink(missing_ok=True)
    return "made a file of 1 TiB"


@attack()
def open_files(world: World, local: Local) -> str | None:
    """Try: 3,000 open files. Safe: 1,024 at most."""
    held: list[int] = []
    try:
        _raise_own_limit()
        held.extend(os.open("/dev/null", os.O_RDONLY) for _ in range(_MOST_FILES))
    finally:
        for descriptor in held:
            os.close(descriptor)
    return f"{len(held)} open files"


def _raise_own_limit() -> None:
    import resource  # noqa: PLC0415  only here

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


@attack(is_deadly=True)
def locked_memory(world: World, local: Local) -> str | None:
    """Try: lock all memory, so that others are swapped out. Safe: refused above 8 MiB."""
    from .kernel import LIBC, checked  # noqa: PLC0415  only here

    part = mmap.mmap(-1, 64 * MIB)
    address = _address(part)
    checked(LIBC.mlock(address, len(part)))
    checked(LIBC.munlock(address, len(part)))
    return "locked 64 MiB"


def _address(part: mmap.mmap) -> Any:  # noqa: ANN401  of ctypes
    import ctypes  # noqa: PLC0415  only here

    return ctypes.byref(ctypes.c_char.from_buffer(part))
