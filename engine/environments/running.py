"""What it takes to run an installer, and what comes of it: the seam between asking and doing.

Whoever locks and builds environments says what is to be run, what that may see and change, and
whether it needs the index. How it is held to that is the matter of `engine.environments.enclosed`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

__all__ = ["Command", "Finished", "OnLine", "Run", "ignore"]

OnLine = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A program to run, and all that it needs beyond the system's own files.

    Each of the folders is a mount of its own: within one of them files are linked and renamed, from
    one to another they are copied. An installer that is to link out of its cache needs both places
    in one folder.

    Args:
        argv: program and arguments; the program is an absolute path, and may be read.
        reads: files and folders that it may read, as the folders of interpreters.
        writes: folders that it may fill; they are made when they are missing, and belong to the
            installer's user from then on.
        variables: added to those that every installer gets.
        network: whether it reaches the index.
        runs_packages: whether code of packages is run, as to build them from source: refused where
            plugins may not run, and done by another user than that of installers.
        only_looks: whether nothing is to be written, as to check packages against each other. Code
            of packages may run by the way, as a Python does at its start, so this is another user,
            who finds no folder to write to.
        timeout_s: > 0; it is ended after that.
        cwd: where it starts; an empty folder of its own, removed afterwards, when None.
    """

    argv: tuple[str, ...]
    reads: tuple[Path, ...] = ()
    writes: tuple[Path, ...] = ()
    variables: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    network: bool = False
    runs_packages: bool = False
    only_looks: bool = False
    timeout_s: float = 600.0
    cwd: Path | None = None


@dataclass(frozen=True, slots=True)
class Finished:
    """How a program ended.

    Args:
        status: of its exit; 128 and the number of the signal when one ended it.
        output: the last 64 KiB of what it printed, without passwords and terminal escapes.
    """

    status: int
    output: str


def ignore(_: str) -> None:
    """Take a line of output and do nothing with it."""


class Run(Protocol):
    """Runs programs, each to its end; any thread may call, several at a time."""

    def __call__(self, command: Command, on_line: OnLine = ignore) -> Finished:
        """Run a program.

        Args:
            command: what to run.
            on_line: gets each line that it prints, soon after; must not block.

        Raises:
            InstallFailed: it could not be started, took too long, or more memory than it may.
            SandboxUnavailable: it runs code of packages, where no plugin may run.
            Stopping: the server is shutting down.
        """
        ...
