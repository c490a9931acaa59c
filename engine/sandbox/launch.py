"""Start a worker behind the layers that there are, by one path for all levels.

    bwrap --args FD            its own namespaces and files      (when `Layers.bwrap` is set)
      ▸ python -I -S …         our own code first: waits at the gate, drops its identity, then
                               Landlock and seccomp (`worker.confinement`), then the plugin

The gate is its standard input: a line opens it, its end makes the worker go away, so that nothing
runs if this process dies in between. It is opened when the whole tree is in its control group,
which takes as long as Python takes to start, and goes on at the same time. Arguments of
bubblewrap, made-up files and the launch document are memory files that the child inherits: paths,
variables and the token show neither in its arguments nor in the environment of bubblewrap.

The thread that starts a worker must outlive it: the parent-death signal follows the thread.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import stat
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from engine.errors import PluginError
from engine.sandbox.bubblewrap import arguments, made_up_files
from engine.sandbox.descent import children
from engine.sandbox.policy import SYSTEM, Layers, Policy
from engine.sandbox.private import prepare
from engine.sandbox.soundness import why_not_start
from engine.sandbox.tree import entries, opened

__all__ = ["Group", "Launcher", "SandboxUnavailable", "Start", "Started"]


class SandboxUnavailable(PluginError):
    """A worker cannot be confined as it must be, and is not started."""

    code = "sandbox_unavailable"


class Group(Protocol):
    """A control group that was made for one worker."""

    def add(self, pid: int) -> None:
        """Put a process into it."""

    def kill(self) -> object:
        """End all processes in it."""

    def remove(self) -> object:
        """Remove it."""


@dataclass(frozen=True, slots=True)
class Start:
    """What to start, and how.

    Args:
        policy: what the worker may see.
        layers: what confines it; none at all starts it as any other program.
        command: program and arguments; the number of the document's descriptor is added.
        document: what the worker reads from that descriptor.
        output: descriptor for what it prints.
        descriptors: others that it inherits, under the same numbers.
    """

    policy: Policy
    layers: Layers
    command: Sequence[str]
    document: bytes
    output: int
    descriptors: Sequence[int] = ()


@dataclass(frozen=True, slots=True)
class Started:
    """A worker on its way.

    Args:
        popen: bubblewrap, or the worker itself; the end of either is the end of all.
        pid: of that process.
        group: its control group.
    """

    popen: subprocess.Popen[bytes]
    pid: int
    group: Group | None


class Launcher:
    """Starts workers; any thread may call, each for triggers of its own."""

    def __init__(self) -> None:
        folders = (path for path in map(Path, SYSTEM) if path.is_symlink())
        self._links = {str(path): str(path.readlink()) for path in folders}
        self._binding: dict[str, bool] = {}  # by program; two that find it out agree

    def start(self, start: Start, group: Group | None = None) -> Started:
        """Start a worker, in a group when there is one. When that fails the group is removed.

        Raises:
            SandboxUnavailable: it could not be confined.
            OSError: the system refuses a step.
        """
        try:
            _check(start)
            _prepare(start)
            return self._start(start, group)
        except BaseException:
            if group is not None:
                group.kill()
                group.remove()
            raise

    def _start(self, start: Start, group: Group | None) -> Started:
        with contextlib.ExitStack() as ours:
            document = _memory_file(ours, start.document)
            inherited = [document, *start.descriptors]
            command = [*start.command, str(document)]
            if start.layers.bwrap is not None:
                made_up = self._made_up(ours, start.policy)
                held = self._held(ours, start.policy, start.layers.bwrap)
                words = arguments(start.policy, made_up, self._links, held)
                told = _memory_file(ours, _joined(words))
                inherited += [told, *made_up.values()]
                # Not those of paths that another mount shows: nobody would close them, and `..`
                # of a folder that is open leads out.
                inherited += [n for n in held.values() if _is_bound(words, n)]
                command = [start.layers.bwrap, "--args", str(told), "--", *command]
            gate, opener = os.pipe2(os.O_CLOEXEC)
            ours.callback(os.close, gate)
            ours.callback(os.close, opener)
            child = _popen(start, command, gate, inherited)
            _admit(child, group, opener)
        return Started(child, child.pid, group)

    @staticmethod
    def _made_up(ours: contextlib.ExitStack, policy: Policy) -> dict[str, int]:
        is_own = policy.uid is not None
        uid = policy.uid if policy.uid is not None else os.getuid()
        files = made_up_files(uid, uid if is_own else os.getgid())
        return {path: _memory_file(ours, content) for path, content in files.items()}

    def _held(self, ours: contextlib.ExitStack, policy: Policy, bwrap: str) -> dict[str, int]:
        """Hold on to granted paths: another plugin may have been granted to write above them."""
        granted = dict.fromkeys((*policy.read, *policy.write))
        if not granted or not self._binds_descriptors(bwrap):
            return {}
        return {path: _hold(ours, path) for path in granted}

    def _binds_descriptors(self, bwrap: str) -> bool:
        if bwrap not in self._binding:
            command = [bwrap, "--help"]
            help_text = subprocess.run(command, capture_output=True, check=False, timeout=10).stdout
            self._binding[bwrap] = b"--ro-bind-fd" in help_text
        return self._binding[bwrap]


def _hold(ours: contextlib.ExitStack, path: str) -> int:
    descriptor = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    ours.callback(os.close, descriptor)
    if str(Path(f"/proc/self/fd/{descriptor}").readlink()) != path:
        raise SandboxUnavailable(f"cannot confine the worker: {path} is being replaced")
    return descriptor


def _is_bound(words: Sequence[str], descriptor: int) -> bool:
    pairs = itertools.pairwise(words)
    return any(n == str(descriptor) and option.endswith("bind-fd") for option, n in pairs)


def _popen(
    start: Start, command: Sequence[str], gate: int, inherited: Sequence[int]
) -> subprocess.Popen[bytes]:
    is_told_apart = start.layers.bwrap is not None
    return subprocess.Popen(
        command,
        stdin=gate,
        stdout=start.output,
        stderr=start.output,
        pass_fds=inherited,
        env={} if is_told_apart else dict(start.policy.variables),
        cwd="/" if is_told_apart else start.policy.private_dir,
        start_new_session=True,
    )


def _admit(child: subprocess.Popen[bytes], group: Group | None, opener: int) -> None:
    """Put all that waits at the gate into its group, then let it go on.

    The kernel holds forks back while a process changes its group, so none is missed. It does not
    while limits are set, which is why a process sets its own.
    """
    try:
        if group is not None:
            _gather(child.pid, group)
        os.write(opener, b"\n")
    except BaseException:
        child.kill()
        child.wait()
        raise


def _gather(first: int, group: Group) -> None:
    group.add(first)
    waiting = children(first)
    while waiting:
        pid = waiting.pop()
        with contextlib.suppress(ProcessLookupError):
            group.add(pid)
        waiting += children(pid)  # not before: whatever it starts from now on is in it too


def _memory_file(ours: contextlib.ExitStack, content: bytes) -> int:
    descriptor = os.memfd_create("bulkhead", os.MFD_CLOEXEC)
    ours.callback(os.close, descriptor)
    with open(descriptor, "wb", closefd=False) as file:
        file.write(content)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def _joined(words: Sequence[str]) -> bytes:
    for word in words:
        if "\0" in word:
            raise SandboxUnavailable(f"a path or variable holds a zero byte: {word!r}")
    return b"".join(os.fsencode(word) + b"\0" for word in words)


def _check(start: Start) -> None:
    reason = why_not_start(start.policy, start.layers, start.command[0])
    if reason is not None:
        raise SandboxUnavailable(f"cannot confine the worker: {reason}")


def _prepare(start: Start) -> None:
    policy = start.policy
    if policy.private_dir == policy.plugin_dir:
        return
    prepare(policy, start.layers)
    if policy.uid is None:
        return
    with opened(policy.sockets_dir) as folder:
        # The worker may connect, and neither move nor replace what it connects to.
        os.fchown(folder, -1, policy.uid)
        os.fchmod(folder, stat.S_IRWXU | stat.S_IXGRP)
        for name in _sockets(folder):
            os.chown(name, policy.uid, policy.uid, dir_fd=folder, follow_symlinks=False)


def _sockets(folder: int) -> Iterator[str]:
    return (name for name, status in entries(folder) if stat.S_ISSOCK(status.st_mode))
