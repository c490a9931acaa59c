"""What is asked of an installer, uv or pip: versions that go together, an environment of them.

Both are programs; they are run by the `Run` that the workplace brings, which holds them.
Requirements and locks are handed over as files in the workplace's folder, and answers come back in
files there: what a program prints is for people, and cut off where it gets long.
Any thread may call, each with a workplace of its own.
"""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from engine.environments.failures import InstallFailed, failure_in
from engine.environments.interpreters import Interpreter
from engine.environments.running import Command, Finished, OnLine, Run, ignore
from engine.model.lock import Asked, Lock

__all__ = ["NOTHING_ASKED", "Backend", "Supply", "Workplace", "read_answer"]

NOTHING_ASKED = Asked()
_MAX_ANSWER_BYTES = 16 * 1024 * 1024
_PROGRESS = re.compile(
    r"\s*(Build(ing|t)|Collecting|Download(ed|ing)|Install(ed|ing)|Prepared|Using cached) "
)


@dataclass(frozen=True, slots=True)
class Supply:
    """Where packages come from, and where they are kept.

    Args:
        cache_dir: what was fetched, and environments while they are built.
        wheel_dir: taken instead of the index; then nothing is fetched.
        build_from_source: whether packages without a wheel are built, which runs their code.
        links: whether environments share the files of the cache, so that many take little disk.
            Only where no worker can write to its environment: else one changed all of them.
        timeout_s: of one program.
    """

    cache_dir: Path
    wheel_dir: Path | None = None
    build_from_source: bool = False
    links: bool = False
    timeout_s: float = 600.0

    def building(self, folder: Path) -> Path:
        """Return where in the cache the environment of a workplace is made."""
        return self.cache_dir / "building" / folder.name.lstrip(".")

    @property
    def packages(self) -> Path:
        """Where uv keeps what it has fetched.

        What runs without walls has another user, and may be changed by whoever has the same: the
        two keep out of each other's way when a server is started once with walls and once without.
        """
        return self.cache_dir / ("uv" if self.links else "uv-open")

    @property
    def reads(self) -> tuple[Path, ...]:
        """What every installer may read."""
        return () if self.wheel_dir is None else (self.wheel_dir,)


@dataclass(frozen=True, slots=True)
class Workplace:
    """Where one lock or environment is made, and by whom.

    Args:
        folder: empty, and of this making alone.
        run: runs programs.
        on_line: is told how far it is.
        home: where an environment will lie when it is done.
    """

    folder: Path
    run: Run
    on_line: OnLine = ignore
    home: Path = Path()

    def do(self, command: Command, asked: Asked = NOTHING_ASKED) -> Finished:
        """Run a program that has to succeed.

        Raises:
            PackagesUnavailable, InstallFailed: it has not.
            Stopping: the server is shutting down.
        """
        finished = self.attempt(command)
        if finished.status != 0:
            raise failure_in(finished.status, finished.output, asked)
        return finished

    def attempt(self, command: Command) -> Finished:
        """Run a program that may fail, and tell how far it is; raises Stopping as `do`.

        What else it prints is kept for failures: of a try that another one follows, it would alarm
        people for nothing.
        """
        return self.run(command, self._show)

    def _show(self, line: str) -> None:
        if _PROGRESS.match(line):
            self.on_line(line.strip())


class Backend(Protocol):
    """An installer."""

    def lock(self, asked: Asked, interpreter: Interpreter, place: Workplace, kept: str = "") -> str:
        """Find versions that go together.

        Args:
            asked: at least one requirement.
            interpreter: what they are for.
            place: where to work.
            kept: text of a lock whose versions are kept where they fit.

        Returns:
            The text of a lock.

        Raises:
            PackagesUnavailable: there are none.
            InstallFailed: the installer came to no answer.
            Stopping: the server is shutting down.
        """
        ...

    def build(self, lock: Lock, interpreter: Interpreter, place: Workplace) -> Path:
        """Make a virtual environment that may be moved.

        Returns:
            Its folder, in the workplace's or where the supply has environments built.

        Raises:
            As `lock`.
        """
        ...

    def check(self, interpreter: Interpreter, tree: Path, place: Workplace) -> None:
        """Have the packages of an environment checked against each other.

        Raises:
            As `lock`.
        """
        ...

    def fetch(self, lock: str, interpreter: Interpreter, place: Workplace) -> Path:
        """Install packages into a folder that is no environment, without what they need.

        Args:
            lock: text of a lock, with hashes.
            interpreter: what they are for.
            place: where to work.

        Returns:
            The folder, in the workplace's.

        Raises:
            As `lock`.
        """
        ...


def read_answer(path: Path) -> str:
    """Return the text of a file that an installer has left, and of nothing else.

    Raises:
        InstallFailed: it left none, a link, or too much.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:  # noqa: PTH123  a link was refused just now
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise InstallFailed(f"the installer left no file {path.name}")
            content = file.read(_MAX_ANSWER_BYTES + 1)
        if len(content) > _MAX_ANSWER_BYTES:
            raise InstallFailed(f"{path.name} of the installer is larger than any lock")
        return content.decode()
    except (OSError, ValueError) as error:
        raise InstallFailed(f"cannot read {path.name} of the installer: {error}") from error
