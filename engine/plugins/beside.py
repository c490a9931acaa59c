"""What a plugin finds in the plugin folder: itself, and the data files beside it.

Data files are those that lie beside the plugin or directly in the plugin folder, are no Python
files, and are not hidden. Folders belong to other plugins, so they are left out; one is seen only
by whoever was granted it. Any thread may call.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from engine.errors import PluginFileError
from engine.plugins.fetch import REMOTE_PREFIX
from engine.plugins.paths import inside

__all__ = ["View", "seen_by", "seen_in"]

log = logging.getLogger(__name__)
_MOST_FILES = 256  # each becomes a mount


def seen_in(directory: Path, name: str) -> tuple[Path, ...]:
    """Return the folders in which a plugin sees files; see `seen_by`."""
    if name.startswith(REMOTE_PREFIX):
        return (directory,)
    return tuple({directory, inside(directory, name).parent})


def seen_by(directory: Path, name: str) -> dict[str, Path]:
    """Return where the files and folders lie that a plugin sees, by their path in the folder.

    Args:
        directory: the plugin folder.
        name: of the plugin, as its trigger gives it.

    Raises:
        PluginFileError: the plugin would lie outside the folder.
    """
    found: dict[str, Path] = {}
    for folder in seen_in(directory, name):
        found |= _data_files(folder, directory)
    if not name.startswith(REMOTE_PREFIX):
        path = inside(directory, name)
        if path.exists():
            found[os.path.relpath(path, directory)] = path
    return found


class View:
    """What a process sees that was started now; files are bound one by one and stay as they are.

    A file that is written to is seen changing; one that is replaced, added or removed is not. The
    plugin's own file does not count: its text is sent with each change. Any thread may ask.
    """

    def __init__(self, folders: Iterable[Path], look: Callable[[], Mapping[str, Path]]) -> None:
        self._folders = tuple(folders)
        self._look = look
        self._is_other = False
        self._times = self._modified()  # before the look: a change in between shows later
        self._before = self._fingerprint()

    def has_changed(self) -> bool:
        """Whether only a fresh process sees what is there now; a look at one time, mostly."""
        if not self._is_other and self._folders:
            times = self._modified()
            if times != self._times:
                self._times = times
                self._is_other = self._fingerprint() != self._before
        return self._is_other

    def _modified(self) -> list[int]:
        return [status.st_mtime_ns for status in map(_status, self._folders) if status is not None]

    def _fingerprint(self) -> dict[str, tuple[int, int]]:
        try:
            paths = self._look()
        except PluginFileError:
            return {}  # the plugin's own error, which its next run tells
        found = {name: _status(path) for name, path in paths.items() if not name.endswith(".py")}
        return {name: (s.st_dev, s.st_ino) for name, s in found.items() if s is not None}


def _data_files(folder: Path, directory: Path) -> dict[str, Path]:
    try:
        names = sorted(path.name for path in folder.iterdir())
    except OSError:
        return {}
    paths = [folder / name for name in names if _is_data_name(name)]
    files = {os.path.relpath(path, directory): path for path in paths if _is_within(path, folder)}
    if len(files) > _MOST_FILES:
        log.warning("too many data files beside a plugin", extra={"path": folder})
    return dict(list(files.items())[:_MOST_FILES])


def _is_data_name(name: str) -> bool:
    return not name.startswith(".") and not name.endswith(".py")


def _is_within(path: Path, folder: Path) -> bool:
    """Tell whether this is a file whose links, if any, stay in the folder that it is seen in.

    Some plugin may have been granted to write to a folder, and so to put links into it.
    """
    return path.is_file() and path.resolve().is_relative_to(folder.resolve())


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except OSError:
        return None  # it has just gone
