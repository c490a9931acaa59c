"""Programs of the server's own behind the walls that hold plugins.

    <scratch>/<random>/own       HOME, temporary files, and where it starts; removed afterwards
    <scratch>/<random>/sockets   empty: a place that every confinement has

With the sandbox off they run as any other program, with the server's variables as they are given.
Any thread may call; `stop` ends those that run.
"""

from __future__ import annotations

import json
import os
import secrets
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from engine.environments.child import Ending, Patience, Room, run_enclosed
from engine.environments.running import OnLine
from engine.errors import Stopping
from engine.folders import make_folder
from engine.model.grants import Grants
from engine.model.limits import Limits
from engine.sandbox.policy import Policy
from engine.sandbox.sandbox import Order, Sandbox
from engine.sandbox.tree import entries, opened, remove
from engine.sandbox.uids import own_uid

__all__ = ["BUILDER", "INSTALLER", "PROBER", "Task", "Walls"]

# Users, by the names that their ids are made of. All servers of a machine have the same, so that
# they can share a cache; whoever runs code of packages is none who could write to it.
INSTALLER = "installer"
BUILDER = "builder"
PROBER = "probe"
_PASSABLE = 0o711
_NAME_BYTES = 8
_NO_TRIGGER = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A program to run, and what it may see.

    Args:
        label: for who looks at the machine.
        user: names the user id that it has when the server is root.
        command: program and arguments; the number of the document's descriptor is added.
        document: what it reads there, without `cwd` (when it is the folder of its own),
            `confinement` and `is_guarded`; JSON.
        runtime_dir: of our own modules that it is started with.
        environment_dir: that it uses, `runtime_dir` for none.
        prefixes: folders of its Python.
        reads: beyond that.
        writes: likewise.
        variables: all, but HOME and TMPDIR of a confined one.
        grants: network and programs.
        limits: that count for it.
        timeout_s: > 0.
        moves_files: whether it has to move files from folder to folder; see `Order`.
    """

    label: str
    user: str
    command: tuple[str, ...]
    document: Mapping[str, Any]
    runtime_dir: str
    environment_dir: str
    prefixes: tuple[str, ...]
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    variables: Mapping[str, str]
    grants: Grants
    limits: Limits
    timeout_s: float
    moves_files: bool = False


class Walls:
    """Runs programs behind the sandbox of a server.

    Args:
        sandbox: of the server.
        scratch_dir: where their folders are; nobody else's, and emptied at the first use.
    """

    def __init__(self, sandbox: Sandbox, scratch_dir: Path) -> None:
        self.sandbox = sandbox
        self._scratch_dir = scratch_dir
        self._lock = threading.Lock()
        self._is_swept = False  # guarded by _lock
        self._stopped = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._is_stopping = False

    def __del__(self) -> None:
        """Close the descriptor, which those that wait may use until the end."""
        os.close(self._stopped)

    def stop(self) -> None:
        """End what runs, and refuse the rest; does not wait, may be repeated."""
        self._is_stopping = True
        os.eventfd_write(self._stopped, 1)

    def uid(self, user: str) -> int | None:
        """Return the user id of programs, None when they keep the server's."""
        return own_uid(_NO_TRIGGER, user) if self.sandbox.layers.own_uid else None

    def run(self, task: Task, on_line: OnLine) -> Ending:
        """Run a program to its end; see `run_enclosed`."""
        if self._is_stopping:
            raise Stopping
        with self._folder() as folder:
            order = self._order(task, folder)
            filled = dict.fromkeys((str(folder), *task.writes))
            patience = Patience(task.timeout_s, self._stopped, tuple(map(Room.half, filled)))
            return run_enclosed(partial(self.sandbox.start, order), patience, on_line)

    def _order(self, task: Task, folder: Path) -> Order:
        is_on = self.sandbox.is_on
        own = str(folder / "own")
        variables = dict(task.variables)
        if is_on:
            variables |= {"HOME": own, "TMPDIR": own}
        document = {"cwd": own, **task.document, "is_guarded": self.sandbox.layers.bwrap is None}
        policy = Policy(
            trigger_id=_NO_TRIGGER,
            uid=self.uid(task.user),
            # A folder that is no worker's is not made ready as such.
            plugin_dir=str(folder) if is_on else own,
            private_dir=own,
            sockets_dir=str(folder / "sockets"),
            runtime_dir=task.runtime_dir,
            environment_dir=task.environment_dir,
            prefixes=task.prefixes,
            read=task.reads,
            write=task.writes,
            variables=variables,
        )
        return Order(
            policy=policy,
            grants=task.grants,
            limits=task.limits,
            label=task.label,
            command=task.command,
            document=lambda confinement: _packed(document, confinement),
            may_be_less=True,
            moves_files=task.moves_files,
        )

    @contextmanager
    def _folder(self) -> Iterator[Path]:
        """Make a folder for one run and remove it afterwards."""
        name = secrets.token_hex(_NAME_BYTES)
        with self._lock:
            self._sweep()
            folder = self._scratch_dir / name
            folder.mkdir()
            folder.chmod(_PASSABLE)
            (folder / "sockets").mkdir()
            (folder / "own").mkdir(mode=0o700)
        try:
            yield folder
        finally:
            with opened(str(self._scratch_dir)) as parent:
                remove(name, parent)

    def _sweep(self) -> None:
        """Make the folder of all; remove what a server has left there that was killed."""
        make_folder(self._scratch_dir)
        if self._is_swept:
            return
        self._scratch_dir.chmod(_PASSABLE)
        with opened(str(self._scratch_dir)) as parent:
            for name, _ in list(entries(parent)):
                with suppress(OSError):
                    remove(name, parent)
        self._is_swept = True


def _packed(document: Mapping[str, Any], confinement: Mapping[str, Any] | None) -> bytes:
    walls = None if confinement is None else dict(confinement)
    if walls is not None and walls["seccomp"] is not None:
        walls["seccomp"] = walls["seccomp"].hex()
    return json.dumps({**document, "confinement": walls}).encode()
