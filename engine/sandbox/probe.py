"""Find out what this machine enforces: put every layer on a child of our own and have it attack.

What is offered is not what counts: a machine may have bubblewrap and forbid its namespaces, or
have Landlock and not switch it on. So a child is started as a worker is, by the same code, and
tries what a hostile plugin would (`worker.attacks`): against a file, a process, ports and sockets
that are made here for it to reach. When the child does not start, the layer that its words blame
is left out and the next one is started.

Blocks for some tenths of a second; called once, by the thread that starts the server.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from engine.model.grants import Grants
from engine.model.limits import Limits
from engine.sandbox.enclose import Enclosed, Order
from engine.sandbox.launch import SandboxUnavailable
from engine.sandbox.policy import Layers, Policy
from engine.sandbox.report import ATTACKS, Trial
from worker import wire

__all__ = ["probe"]

_TIMEOUT_S = 10.0
_MIB = 1024 * 1024
_LIMITS = Limits(memory_bytes=64 * _MIB, processes=24, disk_bytes=_MIB, time_s=_TIMEOUT_S)
_THREADS = 48
_MUCH_MEMORY_BYTES = 96 * _MIB
_MAIN = "from worker.attacks import main\n\nmain()\n"
_LAST = "much_memory"
_WORD = "bulkhead-victim"
_INODES = 64
_MOST_SAID = 1 << 20


@dataclass(frozen=True, slots=True)
class _Seen:
    """What a child said, and how it ended."""

    results: Mapping[str, object]
    words: str
    is_refused: bool = False  # by us, before any layer was put on
    is_late: bool = False  # we have ended it

    @property
    def has_begun(self) -> bool:
        return "landlock_abi" in self.results


_Start = Callable[[Layers, Order, int], Enclosed]


def probe(start: _Start, hopes: Layers, missing: Mapping[str, str], uid: int | None) -> Trial:
    """Try the layers on a child; return which held, and what it got hold of.

    Args:
        start: starts a child behind given layers, as a worker.
        hopes: layers that there seem to be.
        missing: why others are not hoped for, by layer.
        uid: user id of the child, None for the server's own.
    """
    known, best = dict(missing), hopes
    with _arena(uid) as arena:
        while True:
            seen = arena.attempt(start, hopes)
            if seen.has_begun:
                return _trial(hopes, seen, known)
            blamed = _blamed(hopes, seen)
            if blamed is None:
                known["start"] = seen.words
                return Trial(Layers(), {}, known)
            known[blamed] = seen.words
            hopes = _without(hopes, blamed)
            if blamed == "cgroup" and best.bwrap is not None:
                del known["bwrap"]  # it was blamed first, maybe wrongly
                hopes = replace(hopes, bwrap=best.bwrap)


@dataclass(frozen=True, slots=True)
class _Arena:
    """Things to attack, and the folders of a worker."""

    folder: Path
    targets: Mapping[str, object]
    policy: Policy

    def attempt(self, start: _Start, layers: Layers) -> _Seen:
        """Start a child and return what it said until it ended."""
        reading, printing = os.pipe2(os.O_CLOEXEC)
        with open(reading, "rb") as output:  # noqa: PTH123  a descriptor
            try:
                enclosed = start(layers, self._order(), printing)
            except SandboxUnavailable as error:
                return _Seen({}, str(error), is_refused=True)
            except OSError as error:
                return _Seen({}, str(error))
            finally:
                os.close(printing)
            try:
                said, is_late = _read(output, enclosed)
            finally:
                enclosed.release()
        return replace(_understood(said), is_late=is_late)

    def _order(self) -> Order:
        return Order(
            policy=self.policy,
            grants=Grants(),
            limits=_LIMITS,
            label="probe",
            command=(os.path.realpath(sys.executable), "-I", "-S", self.policy.runtime_dir),
            document=self._document,
        )

    def _document(self, confinement: Mapping[str, object] | None) -> bytes:
        given = None if confinement is None else dict(confinement)
        if given is not None and isinstance(program := given["seccomp"], bytes):
            given["seccomp"] = base64.b64encode(program).decode()
        return json.dumps({"confinement": given, "targets": self.targets}).encode()


def _read(output: BinaryIO, enclosed: Enclosed) -> tuple[bytes, bool]:
    """Return what a child says until its end, and whether we had to end it."""
    is_late = threading.Event()

    def end() -> None:
        is_late.set()
        enclosed.popen.kill()

    timer = threading.Timer(_TIMEOUT_S, end)
    timer.start()
    try:
        return output.read(_MOST_SAID), is_late.is_set()
    finally:
        timer.cancel()
        enclosed.popen.kill()
        enclosed.popen.wait()


def _understood(said: bytes) -> _Seen:
    results: dict[str, object] = {}
    words: list[str] = []
    for line in said.decode(errors="replace").splitlines():
        if line.startswith('["'):
            name, result = json.loads(line)
            results[name] = result
        else:
            words.append(line)
    return _Seen(results, words[-1] if words else "it ended without a word")


@contextmanager
def _arena(uid: int | None) -> Iterator[_Arena]:
    with ExitStack() as closing:
        folder = Path(tempfile.mkdtemp(prefix="bulkhead-probe-"))
        closing.callback(shutil.rmtree, folder, ignore_errors=True)
        folder.chmod(0o755)
        for name in ("private", "sockets", "environment", "plugins"):
            (folder / name).mkdir()
        yield _Arena(folder, _targets(folder, closing), _policy(folder, uid))


def _policy(folder: Path, uid: int | None) -> Policy:
    return Policy(
        trigger_id=0,
        uid=uid,
        plugin_dir=str(folder / "plugins"),
        private_dir=str(folder / "private"),
        sockets_dir=str(folder / "sockets"),
        runtime_dir=_runtime(folder / "runtime"),
        environment_dir=str(folder / "environment"),
        prefixes=tuple({os.path.realpath(p) for p in (sys.base_prefix, sys.base_exec_prefix)}),
        tmp_bytes=_MIB,
        tmp_inodes=_INODES,
    )


def _runtime(folder: Path) -> str:
    """Make a runtime folder that holds the attacks in the place of a worker."""
    package = Path(wire.__file__).parent.parent
    (folder / "worker").mkdir(parents=True)
    for file in package.glob("*.py"):
        shutil.copyfile(file, folder / "worker" / file.name)
    (folder / "__main__.py").write_text(_MAIN)
    return str(folder)


def _targets(folder: Path, closing: ExitStack) -> dict[str, object]:
    secret = folder / "secret"
    secret.write_text("secret")
    open_folder = folder / "open"
    open_folder.mkdir()
    open_folder.chmod(0o777)
    victim = closing.enter_context(_victim())
    named, abstract = str(folder / "socket"), f"bulkhead-{secrets.token_hex(8)}"
    for address in (named, "\0" + abstract):
        server = closing.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        server.bind(address)
        server.listen()
    Path(named).chmod(0o777)
    port = closing.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1]
    return {
        "secret": str(secret),
        "folder": str(open_folder),
        "pid": victim,
        "word": _WORD,
        "socket": named,
        "abstract": abstract,
        "port": port,
        "threads": _THREADS,
        "tmp_bytes": _MIB,
        "tmp_inodes": _INODES,
        "memory_bytes": _MUCH_MEMORY_BYTES,
        "server_uid": os.getuid(),
    }


@contextmanager
def _victim() -> Iterator[int]:
    with subprocess.Popen(["/bin/sh", "-c", "read -r _", _WORD], stdin=subprocess.PIPE) as victim:
        try:
            yield victim.pid
        finally:
            victim.kill()


def _trial(hopes: Layers, seen: _Seen, missing: dict[str, str]) -> Trial:
    abi = seen.results["landlock_abi"]
    if not abi and "landlock" not in missing:
        missing["landlock"] = "the kernel has none, or it is switched off"
    layers = replace(hopes, landlock_abi=abi if isinstance(abi, int) else 0)
    escapes = {name: str(result) for name, result in seen.results.items()}
    del escapes["landlock_abi"]
    if len(escapes) == len(ATTACKS) - 1 and not seen.is_late:
        escapes.setdefault(_LAST, "")  # it was killed, as it should be
    return Trial(layers, escapes, missing)


def _blamed(hopes: Layers, seen: _Seen) -> str | None:
    """Return the layer that kept a child from starting."""
    for name, is_hoped in (("seccomp", hopes.seccomp), ("landlock", hopes.landlock_abi)):
        if is_hoped and f"{name}:" in seen.words:
            return name
    if hopes.bwrap is not None:
        return "bwrap"
    if hopes.cgroup is not None and not seen.is_refused:
        return "cgroup"
    return None


def _without(hopes: Layers, layer: str) -> Layers:
    match layer:
        case "seccomp":
            return replace(hopes, seccomp=False)
        case "landlock":
            return replace(hopes, landlock_abi=0)
        case "bwrap":
            return replace(hopes, bwrap=None)
        case _:
            return replace(hopes, cgroup=None)
