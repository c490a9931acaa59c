"""The private folder of a trigger: its worker's PLUGIN_DIR, which it may fill as it likes.

    <data folder>/<node>/private/<trigger id>     0700, of the worker's user
        alert.py -> <plugin folder>/alert.py          the view, see `engine.sandbox.policy`
        .venv -> <its environment>
        .tmp/                                         temporary files where /tmp is not its own
        everything else                               the plugin's; it stays between starts

Links are made anew at each start. A file or folder of the plugin's at the name of a link stays,
a link of the plugin's does not, and nothing is ever followed (`engine.sandbox.tree`).
Called by the thread that starts a worker, while no worker of that trigger runs.
"""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path, PurePosixPath

from engine.folders import make_folder
from engine.sandbox.policy import TEMPORARY, Layers, Policy
from engine.sandbox.tree import entries, give, opened, remove

__all__ = ["prepare"]

_PASSABLE = 0o711
_MAX_LOOKED_AT = 10_000
_ENVIRONMENT_LINK = ".venv"


def prepare(policy: Policy, layers: Layers) -> None:
    """Make the folder ready for a start: its owner, its links, its temporary folder.

    Raises:
        OSError: it cannot be made, or belongs to somebody else.
    """
    wanted = {entry.relative: entry.host_path for entry in policy.view}
    if policy.environment_dir != policy.runtime_dir:  # else it is no plugin, and has none
        wanted[_ENVIRONMENT_LINK] = policy.environment_dir
    _make(Path(policy.private_dir))
    with opened(policy.private_dir) as folder:
        os.fchmod(folder, stat.S_IRWXU)
        if policy.uid is not None:
            give(folder, policy.uid)
        _sweep(folder, policy, wanted)
        for relative, target in wanted.items():
            _link(folder, PurePosixPath(relative), target, policy.uid)
        remove(TEMPORARY, folder)
        if not layers.bwrap:
            _make_inside(folder, TEMPORARY, policy.uid)


def _make(path: Path) -> None:
    if not path.parent.is_dir():
        make_folder(path.parent)
        # Another user id passes through it, and cannot list it.
        path.parent.chmod(_PASSABLE)
    with contextlib.suppress(FileExistsError):
        path.mkdir(mode=stat.S_IRWXU)


def _sweep(folder: int, policy: Policy, wanted: dict[str, str]) -> None:
    """Remove links of ours that lead to what is no longer in the view."""
    for number, (name, status) in enumerate(entries(folder)):
        if number >= _MAX_LOOKED_AT:
            return
        if name in wanted or not stat.S_ISLNK(status.st_mode):
            continue
        if _is_ours(os.readlink(name, dir_fd=folder), policy):
            os.unlink(name, dir_fd=folder)


def _is_ours(target: str, policy: Policy) -> bool:
    return PurePosixPath(target).is_relative_to(policy.plugin_dir)


def _link(folder: int, relative: PurePosixPath, target: str, uid: int | None) -> None:
    first, *rest = relative.parts
    if not rest:
        _place(folder, first, target)
        return
    try:
        _make_inside(folder, first, uid)
        with opened(first, folder) as inner:
            _link(inner, PurePosixPath(*rest), target, uid)
    except NotADirectoryError:
        return  # the plugin wants something else there


def _place(folder: int, name: str, target: str) -> None:
    try:
        status = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        os.symlink(target, name, dir_fd=folder)
        return
    if stat.S_ISLNK(status.st_mode) and os.readlink(name, dir_fd=folder) != target:
        os.unlink(name, dir_fd=folder)
        os.symlink(target, name, dir_fd=folder)


def _make_inside(folder: int, name: str, uid: int | None) -> None:
    try:
        os.mkdir(name, stat.S_IRWXU, dir_fd=folder)
    except FileExistsError:
        if not stat.S_ISLNK(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
            return
        os.unlink(name, dir_fd=folder)
        os.mkdir(name, stat.S_IRWXU, dir_fd=folder)
    if uid is not None:
        with opened(name, folder) as made:
            os.fchown(made, uid, uid)
