"""What the service asks of whoever locks and builds, and what it hands out.

A maker blocks for as long as an installer takes; the service calls it in threads of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from engine.environments.environment import Environment
from engine.environments.running import OnLine
from engine.model.lock import Asked, Lock

__all__ = ["Keeper", "Maker", "Prepared"]


@dataclass(frozen=True, slots=True)
class Prepared:
    """An environment that is ready to be put into service.

    Args:
        asked: what for.
        lock: what it came to.
        environment: in its place, whole and tried.
    """

    asked: Asked
    lock: Lock
    environment: Environment


class Maker(Protocol):
    """Finds locks, and makes environments of them."""

    def empty(self) -> Lock:
        """Return the lock without packages, for the server's own Python."""
        ...

    def serves(self, asked: Asked, lock: Lock) -> bool:
        """Tell whether a lock is for the Python that would be chosen today.

        Raises:
            NoInterpreter: none fits what is asked for.
        """
        ...

    def lock(self, asked: Asked, keep: Lock | None, on_line: OnLine) -> Lock:
        """Find versions that go together.

        Args:
            asked: what they must hold.
            keep: a lock whose versions are kept where they still fit.
            on_line: is told of progress.

        Raises:
            NoInterpreter, PackagesUnavailable, InstallFailed, Stopping.
        """
        ...

    def make(self, lock: Lock, asked: Asked, on_line: OnLine, *, anew: bool = False) -> Environment:
        """Build an environment, try it, and put it into its place on the shelf.

        Args:
            lock: which packages.
            asked: what it was made for; modules of these are tried.
            on_line: is told of progress.
            anew: also when there is one, which gives way.

        Raises:
            NoInterpreter, PackagesUnavailable, InstallFailed, ProbeFailed, BrokenEnvironment,
            Stopping.
        """
        ...

    def polish(self, environment: Environment) -> None:
        """Do what makes later starts faster, and may be left out."""
        ...

    def runtime(self, environment: Environment) -> Path:
        """Return the runtime folder that fits an environment, built when missing.

        Raises:
            BrokenEnvironment: it cannot be had.
        """
        ...

    def stop(self) -> None:
        """Give up what runs and refuse the rest; any thread."""
        ...


class Keeper(Protocol):
    """The folder of finished environments; any thread may call."""

    @property
    def root(self) -> Path:
        """Where they lie."""
        ...

    def path(self, lock_id: str) -> Path:
        """Return where the environment of a lock is, or would be."""
        ...

    def open(self, lock_id: str) -> Environment:
        """Return an environment.

        Raises:
            MissingEnvironment: there is none.
            BrokenEnvironment: it is damaged.
        """
        ...

    def size_bytes(self, lock_id: str) -> int:
        """Return what it holds; 0 when there is none."""
        ...

    def note_used(self, lock_id: str) -> None:
        """Note that a worker was started in it, or that it is about to be put into service."""
        ...

    def unused(self, older_than_s: float) -> Iterator[str]:
        """Yield the locks whose environments were not used for so long, as it is at each step."""
        ...

    def remove(self, lock_id: str) -> None:
        """Remove an environment."""
        ...

    def sweep(self) -> None:
        """Remove what was left half made."""
        ...
