"""Secrets: what a worker could find in environments, arguments and descriptors.

A safe engine gives a worker nothing of the server's environment, shows it no other process, and
leaves it no descriptor but standard ones and those of its own conversation.
"""

from __future__ import annotations

import gc
import os
import stat
from pathlib import Path

from .catalog import SECRET, Local, World, attack

_STANDARD = 3


def _descriptors() -> dict[int, str]:
    """Return where the open descriptors lead to, without the one that was opened for looking."""
    found = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            found[int(name)] = os.readlink(f"/proc/self/fd/{name}")
        except OSError:
            continue
    return found


def _search(name: str, wanted: bytes) -> str | None:
    for path in Path("/proc").glob(f"[0-9]*/{name}"):
        try:
            content = path.read_bytes()
        except OSError:
            continue
        if wanted in content:
            return f"found in {path}"
    return None


@attack()
def own_environment(world: World, local: Local) -> str | None:
    """Try: find a secret of the server's environment in the own one. Safe: not there."""
    found = [name for name, value in os.environ.items() if SECRET in value]
    return f"variable {found[0]}" if found else _search("self/environ", SECRET.encode())


@attack()
def all_environments(world: World, local: Local) -> str | None:
    """Try: find it in the environment of any process. Safe: no other process is to be seen."""
    return _search("environ", SECRET.encode())


@attack()
def all_arguments(world: World, local: Local) -> str | None:
    """Try: find the server's paths in the arguments of processes. Safe: nothing but the own."""
    return _search("cmdline", b"--data-dir") or _search("cmdline", world.data_dir.encode() + b"\0")


@attack()
def other_memory(world: World, local: Local) -> str | None:
    """Try: read the memory of the server and of another worker. Safe: no such process."""
    for pid in (world.server_pid, world.victim_pid):
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            if "[heap]" not in line:
                continue
            start = int(line.partition("-")[0], 16)
            with Path(f"/proc/{pid}/mem").open("rb") as memory:
                memory.seek(start)
                return f"read {len(memory.read(4096))} bytes of process {pid}"
    return None


@attack()
def launch_descriptor(world: World, local: Local) -> str | None:
    """Try: read the launch document from a descriptor that was left open. Safe: all are closed."""
    for number, target in _descriptors().items():
        if "memfd:" in target:
            return f"descriptor {number} leads to {target}"
    return None


@attack()
def inherited_descriptors(world: World, local: Local) -> str | None:
    """Try: find descriptors of folders, or files of the server's. Safe: there are none."""
    for number, target in _descriptors().items():
        if number < _STANDARD:
            continue
        try:
            mode = os.fstat(number).st_mode
        except OSError:  # the one that was opened for looking
            continue
        if stat.S_ISDIR(mode) or target.startswith((world.data_dir, world.outside)):
            return f"descriptor {number} leads to {target}"
    return None


@attack()
def objects_of_the_engine(world: World, local: Local) -> str | None:
    """Try: find secrets among all objects in memory. Safe: the worker was never given any."""
    for found in gc.get_objects():
        if isinstance(found, dict):
            for value in list(found.values()):
                is_world = isinstance(value, str) and value != SECRET and SECRET in value
                if is_world and len(value) < 200:
                    return "a secret is in memory"
    return None
