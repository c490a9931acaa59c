"""Find a plugin in the plugin folder and follow changes of its files.

A plugin is a single file or a folder with `__init__.py`. A name never leaves the plugin folder:
`..`, absolute paths and links that point outside are refused. A file is read again when its
identity (inode, size, modification time) changes; when it is gone or unreadable, the last good
text goes on serving.
"""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from pathlib import Path

from engine.errors import PluginFileError

__all__ = ["PluginCode", "PluginFolder", "Source"]

log = logging.getLogger(__name__)
_MAX_SOURCE_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Source:
    """What a worker has to load.

    Args:
        name: the plugin's name as the trigger gives it.
        text: the text of a single file, or None.
        folder: the absolute path of a folder plugin, or None.
        version: changes whenever the files do.
    """

    name: str
    text: str | None
    folder: str | None
    version: str


class PluginFolder:
    """The folder in which plugins are found; it need not exist yet."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory.absolute()

    def open(self, name: str) -> PluginCode:
        """Find a plugin.

        Raises:
            PluginFileError: there is none of this name, or it lies outside the folder.
        """
        path = self._resolve(name)
        if path.is_dir():
            if not (path / "__init__.py").is_file():
                raise PluginFileError(
                    "reading plugin file: Multi-file plugin directory must contain "
                    f"__init__.py: {path}"
                )
            return PluginCode(name, path, is_folder=True)
        if not path.is_file():
            raise PluginFileError(f"reading plugin file: Plugin not found: {path}")
        return PluginCode(name, path, is_folder=False)

    def _resolve(self, name: str) -> Path:
        if name.startswith("gh:"):
            raise PluginFileError(
                f"cannot fetch '{name}': this version takes plugins from the plugin directory "
                f"only; put the file into {self.directory} and name it without 'gh:'"
            )
        relative = Path(name.rstrip("/"))
        path = self.directory / relative
        is_inside = not relative.is_absolute() and ".." not in relative.parts and "\0" not in name
        if not is_inside or not name.strip("/.") or not self._contains(path):
            raise PluginFileError(
                f"Path traversal detected: plugin filename '{name}' attempts to access files "
                "outside the plugin directory"
            )
        return path

    def _contains(self, path: Path) -> bool:
        return path.resolve().is_relative_to(self.directory.resolve())


class PluginCode:
    """One plugin's files; used by the thread that drives its worker."""

    def __init__(self, name: str, path: Path, *, is_folder: bool) -> None:
        self._name = name
        self._path = path
        self._is_folder = is_folder
        self._latest: Source | None = None

    def current(self) -> Source:
        """Return the plugin as it is now, or as it last was when it cannot be read.

        Raises:
            PluginFileError: it cannot be read and never could.
        """
        try:
            self._latest = self._read()
        except (OSError, UnicodeDecodeError) as error:
            if self._latest is None:
                raise PluginFileError(f"reading plugin file: {self._path}: {error}") from error
            log.warning(
                "plugin cannot be read; the last good copy is used",
                extra={"plugin": self._name, "reason": str(error)},
            )
        return self._latest

    def _read(self) -> Source:
        if self._is_folder:
            return Source(self._name, None, str(self._path), _folder_version(self._path))
        version = _file_version(self._path)
        if self._latest is not None and self._latest.version == version:
            return self._latest
        return Source(self._name, _text(self._path), None, version)


def _text(path: Path) -> str:
    with path.open("rb") as file:
        content = file.read(_MAX_SOURCE_BYTES + 1)
    if len(content) > _MAX_SOURCE_BYTES:
        raise OSError(f"larger than {_MAX_SOURCE_BYTES} bytes")
    return content.decode()


def _file_version(path: Path) -> str:
    status = path.stat()
    return f"{status.st_ino}-{status.st_size}-{status.st_mtime_ns}"


def _folder_version(path: Path) -> str:
    versions = []
    for directory, folders, files in os.walk(path):
        folders[:] = sorted(name for name in folders if name != "__pycache__")
        for name in sorted(files):
            if name.endswith(".py"):
                file = Path(directory, name)
                versions.append(f"{file}:{_file_version(file)}")
    if not versions:
        raise FileNotFoundError(f"no Python file in {path}")
    return "|".join(versions)
