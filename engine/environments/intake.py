"""What an installer left behind, looked through before the server and its workers rely on it.

A package that was built from source has run its code in the folder: whatever stands in it was
made by somebody else. Nothing may lead out of it but the link to its Python, since the server
opens files of it and starts that; nothing may be but files, folders and links; nobody but their
owner may change them, and whoever runs them stays who they are.
Called once nothing runs in the folder any more. Any thread.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from engine.environments.failures import InstallFailed
from engine.environments.interpreters import Interpreter
from engine.sandbox.policy import is_in
from engine.sandbox.tree import opened, remove

__all__ = ["keep_python", "take_in"]

_MOST_ENTRIES = 1_000_000
_DEEPEST = 100  # who walks or copies it later nests calls
_UNWANTED = stat.S_ISUID | stat.S_ISGID | stat.S_IWGRP | stat.S_IWOTH


def take_in(tree: Path, interpreter: Interpreter) -> None:
    """Check the folder of a virtual environment, and close what is too open.

    Args:
        tree: its folder.
        interpreter: that it was made for.

    Raises:
        InstallFailed: it is something else than an environment of that Python.
        OSError: as the system reports it.
    """
    root = str(tree)
    if not stat.S_ISDIR(os.lstat(root).st_mode):
        raise InstallFailed(f"the installer left no folder {root}")
    programs = os.path.realpath(tree / "bin")
    if programs != os.path.join(os.path.realpath(root), "bin"):  # noqa: PTH118  as it is compared
        raise InstallFailed(f"{root} is no environment: its programs are in {programs}")
    python = os.path.realpath(tree / "bin" / "python")
    if python != os.path.realpath(interpreter.path):
        raise InstallFailed(f"the Python of what was built is {python}, not {interpreter.path}")
    for number, (path, status) in enumerate(_entries(root), 1):
        if number > _MOST_ENTRIES:
            raise InstallFailed(f"the packages hold more than {_MOST_ENTRIES} files")
        _check(path, status, os.path.realpath(root), python)


def keep_python(root: Path, interpreter: Path) -> None:
    """Put the link to its Python back, in an environment that packages have changed in place.

    Args:
        root: of the environment.
        interpreter: that it linked to before.

    Raises:
        InstallFailed: it leads to something else now; that is mended, or nothing can be started.
        OSError: as the system reports it.
    """
    path = os.path.realpath(root)
    found = os.path.realpath(f"{path}/bin/python")
    programs = os.path.realpath(f"{path}/bin")
    if found == str(interpreter) and programs == f"{path}/bin":
        return
    with opened(path) as top:
        try:
            with opened("bin", top) as folder:
                remove("python", folder)
                os.symlink(interpreter, "python", dir_fd=folder)
        except NotADirectoryError:
            os.unlink("bin", dir_fd=top)
    raise InstallFailed(f"packages have replaced the Python of {root} by {found}; it was put back")


def _entries(root: str) -> Iterator[tuple[str, os.stat_result]]:
    waiting = [(root, 0)]
    while waiting:
        folder, depth = waiting.pop()
        if depth > _DEEPEST:
            raise InstallFailed(f"a package has left more than {_DEEPEST} folders in each other")
        with os.scandir(folder) as found:
            listed = [(entry.path, entry.stat(follow_symlinks=False)) for entry in found]
        yield from listed
        waiting += [(path, depth + 1) for path, status in listed if stat.S_ISDIR(status.st_mode)]


def _check(path: str, status: os.stat_result, root: str, python: str) -> None:
    mode = status.st_mode
    if stat.S_ISLNK(mode):
        target = os.path.realpath(path)
        if target != python and not is_in(target, root):
            raise InstallFailed(f"a package has left a link that leads out of it: {path!r}")
    elif not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise InstallFailed(f"a package has left what is neither file nor folder: {path!r}")
    elif mode & _UNWANTED:
        os.chmod(path, stat.S_IMODE(mode) & ~_UNWANTED)  # noqa: PTH101  a text
