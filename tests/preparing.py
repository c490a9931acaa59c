"""Environments that are names: a maker and a shelf that take no time and no disk."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from engine.environments.environment import BrokenEnvironment, Environment
from engine.environments.failures import PackagesUnavailable
from engine.environments.running import OnLine
from engine.environments.shelf import MissingEnvironment
from engine.errors import Stopping
from engine.model.lock import Asked, Lock, lock_of

PYTHON, PLATFORM = "3.11", "linux-x86_64"


def lock(*packages: str) -> Lock:
    """Return the lock of packages, as `six==1.0`."""
    return lock_of(PYTHON, PLATFORM, "".join(f"{one}\n" for one in packages))


class ListedShelf:
    """Environments in a dict; `broken` says why some cannot be used."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.there: dict[str, Environment] = {}
        self.broken: dict[str, str] = {}
        self.old: list[str] = []
        self.used: list[str] = []
        self.swept = 0

    def path(self, lock_id: str) -> Path:
        return self.root / lock_id

    def put(self, lock_id: str) -> Environment:
        root = self.path(lock_id)
        root.mkdir(parents=True, exist_ok=True)
        self.broken.pop(lock_id, None)
        found = Environment(root, Path("/python"), (root,), "cpython-311", (3, 11, 7), PLATFORM)
        self.there[lock_id] = found
        return found

    def open(self, lock_id: str) -> Environment:
        if lock_id in self.broken:
            raise BrokenEnvironment(self.broken[lock_id])
        if lock_id not in self.there:
            raise MissingEnvironment(lock_id)
        return self.there[lock_id]

    def size_bytes(self, lock_id: str) -> int:
        return 7 if lock_id in self.there else 0

    def note_used(self, lock_id: str) -> None:
        self.used.append(lock_id)

    def unused(self, older_than_s: float) -> Iterator[str]:
        assert older_than_s >= 0
        yield from (lock_id for lock_id in tuple(self.old) if lock_id not in self.used)

    def remove(self, lock_id: str) -> None:
        del self.there[lock_id]
        self.path(lock_id).rmdir()

    def sweep(self) -> None:
        self.swept += 1


class PlainMaker:
    """Takes requirements for the lock; `go_on` lets what is made come to its end.

    Names of `unavailable` cannot be had; those of `newest` come in that version.
    """

    def __init__(self, shelf: ListedShelf) -> None:
        self.shelf = shelf
        self.made: list[str] = []
        self.kept: list[Lock | None] = []
        self.unavailable: set[str] = set()
        self.newest: dict[str, str] = {}
        self.python = PYTHON
        self.failure: Exception | None = None
        self.on_lock: Callable[[], None] = lambda: None
        self.go_on = threading.Event()
        self.go_on.set()
        self._is_stopping = False

    def empty(self) -> Lock:
        return lock()

    def serves(self, asked: Asked, lock: Lock) -> bool:
        return lock.python == self.python

    def lock(self, asked: Asked, keep: Lock | None, on_line: OnLine) -> Lock:
        self.kept.append(keep)
        on_line("looking for versions")
        self.on_lock()
        self._hold()
        for text in asked.requirements:
            if text in self.unavailable:
                raise PackagesUnavailable(f"{text} is nowhere")
        return lock(*(self._version(text) for text in asked.requirements))

    def make(self, lock: Lock, asked: Asked, on_line: OnLine, *, anew: bool = False) -> Environment:
        self._hold()
        if self.failure is not None:
            raise self.failure
        self.made.append(lock.id)
        return self.shelf.put(lock.id)

    def polish(self, environment: Environment) -> None:
        pass

    def runtime(self, environment: Environment) -> Path:
        return Path("/runtime")

    def stop(self) -> None:
        self._is_stopping = True
        self.go_on.set()

    def _hold(self) -> None:
        if not self.go_on.wait(10):
            raise AssertionError("nobody lets it go on")
        if self._is_stopping:
            raise Stopping

    def _version(self, requirement: str) -> str:
        return requirement if "==" in requirement else f"{requirement}=={self.newest[requirement]}"
