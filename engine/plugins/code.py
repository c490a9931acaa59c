"""A plugin's code on disk, followed through changes.

A file is read again when its identity (inode, size, modification time) changes; so is what asks
for packages with it, for both have to change together. What was changed
within the last 30 ms may still be being written, so its reader waits until it is older: an event
never meets half a file, and two changes within one tick of the file system's clock are told apart.
When the code is gone or unreadable, the last good copy goes on serving.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from engine.errors import PluginFileError
from engine.model.lock import ASKING_FILES
from engine.plugins.paths import CACHE_FOLDER

__all__ = ["ENTRY_FILE", "MAX_SOURCE_BYTES", "LocalCode", "PluginCode", "Report", "Source"]

ENTRY_FILE = "__init__.py"
MAX_SOURCE_BYTES = 8 * 1024 * 1024
_SETTLED_AFTER_NS = 30_000_000
_PATIENCE_S = 1.0  # with what never settles
_READS = 5

Report = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Source:
    """What a worker has to load.

    Args:
        name: the plugin's name as the trigger gives it.
        text: the text of a single file, or None.
        folder: the absolute path of a folder plugin, or None.
        version: changes whenever the files do.
        manifest: the text of `manifest.toml` beside a single file, if that counts.
    """

    name: str
    text: str | None
    folder: str | None
    version: str
    manifest: str | None = None


class PluginCode(Protocol):
    """One plugin's code; used by the threads that drive its worker."""

    def current(self) -> Source:
        """Return the plugin as it is now, or as it last was when it cannot be read.

        Raises:
            PluginFileError: it cannot be read and never could.
        """
        ...


@dataclass(frozen=True, slots=True)
class _Known:
    """The file that was read; asked before every event, so without finding its way there anew.

    A file is the same by its identity, whatever links lead to it; a folder never is.
    """

    path: str | None
    identity: tuple[int, ...] | None
    manifest: str | None = None
    manifest_identity: tuple[int, ...] | None = None

    @classmethod
    def of(cls, path: Path, manifest: Path | None) -> _Known:
        if path.is_dir():
            return cls(None, None)
        beside = None if manifest is None else str(manifest)
        return cls(str(path), _identity(str(path)), beside, _identity_if_there(beside))

    def is_as_it_was(self) -> bool:
        try:
            return (
                self.path is not None
                and _identity(self.path) == self.identity
                and _identity_if_there(self.manifest) == self.manifest_identity
            )
        except OSError:
            return False


def _identity(path: str) -> tuple[int, ...]:
    status = os.stat(path)  # noqa: PTH116  a third of the time
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def _identity_if_there(path: str | None) -> tuple[int, ...] | None:
    try:
        return None if path is None else _identity(path)
    except FileNotFoundError:
        return None


@dataclass(frozen=True, slots=True)
class _Look:
    version: str
    changed_ns: int


class LocalCode:
    """A file or folder in the plugin folder; it need not be there yet.

    Any thread may call; `_lock` is held while the code is read, for which all of them wait.

    Args:
        name: as the trigger gives it.
        locate: returns its path, or raises PluginFileError.
        report: called with a text when the code goes missing, once each time.
        manifest: returns where the manifest of a single file would be, if it has one.
    """

    def __init__(
        self,
        name: str,
        locate: Callable[[], Path],
        report: Report,
        manifest: Callable[[], Path | None] = lambda: None,
    ) -> None:
        self._name = name
        self._locate = locate
        self._manifest = manifest
        self._report = report
        self._latest: Source | None = None
        self._is_missing = False
        self._known = _Known(None, None)
        self._lock = threading.Lock()

    def current(self) -> Source:
        """See `PluginCode.current`."""
        with self._lock:
            return self._current()

    def _current(self) -> Source:
        if self._latest is not None and self._known.is_as_it_was():
            return self._latest
        try:
            path = self._locate()
            manifest = self._manifest()
            before = _Known.of(path, manifest)
            self._latest = self._read(path, manifest)
            self._known = before
        except (OSError, UnicodeDecodeError) as error:
            return self._last_good(PluginFileError(f"reading plugin file: {error}"))
        except PluginFileError as error:
            return self._last_good(error)
        self._is_missing = False
        return self._latest

    def _last_good(self, error: PluginFileError) -> Source:
        if self._latest is None:
            raise error
        if not self._is_missing:
            self._is_missing = True
            self._report(f"{error}; the last good copy goes on serving until the server restarts")
        return self._latest

    def _read(self, path: Path, manifest: Path | None) -> Source:
        if path.is_dir():
            version = _settled(lambda: _look_at_folder(path)).version
            return Source(self._name, None, str(path), version)
        latest = self._latest
        for _ in range(_READS):
            version = _settled(lambda: _look_at_files(path, manifest)).version
            if latest is not None and latest.version == version:
                return latest
            text = _text(path)
            beside = _text(manifest) if manifest is not None and manifest.is_file() else None
            latest = Source(self._name, text, None, version, beside)
        raise OSError(f"{path} changes while it is read")


def _settled(look: Callable[[], _Look]) -> _Look:
    """Look until what is seen has not changed for a moment."""
    deadline_s = time.monotonic() + _PATIENCE_S
    pause = threading.Event()
    while True:
        seen = look()
        age_ns = time.time_ns() - seen.changed_ns
        # A time in the future says nothing: the clock was set back.
        if not 0 <= age_ns < _SETTLED_AFTER_NS or time.monotonic() > deadline_s:
            return seen
        pause.wait((_SETTLED_AFTER_NS - age_ns) / 1e9)


def _look_at_file(path: Path) -> _Look:
    status = path.stat()
    version = f"{status.st_ino}-{status.st_size}-{status.st_mtime_ns}"
    return _Look(version, status.st_ctime_ns)


def _look_at_files(path: Path, manifest: Path | None) -> _Look:
    look = _look_at_file(path)
    if manifest is None or not manifest.is_file():
        return look
    beside = _look_at_file(manifest)
    return _Look(f"{look.version}|{beside.version}", max(look.changed_ns, beside.changed_ns))


def _look_at_folder(path: Path) -> _Look:
    versions, changed_ns = [], 0
    for directory, folders, files in os.walk(path):
        folders[:] = sorted(name for name in folders if name != CACHE_FOLDER)
        for name in sorted(files):
            if name.endswith(".py") or (name in ASKING_FILES and directory == str(path)):
                file = Path(directory, name)
                seen = _look_at_file(file)
                versions.append(f"{file}:{seen.version}")
                changed_ns = max(changed_ns, seen.changed_ns)
    if not versions:
        raise FileNotFoundError(f"no Python file in {path}")
    return _Look("|".join(versions), changed_ns)


def _text(path: Path) -> str:
    with path.open("rb") as file:
        content = file.read(MAX_SOURCE_BYTES + 1)
    if len(content) > MAX_SOURCE_BYTES:
        raise OSError(f"{path} is larger than {MAX_SOURCE_BYTES} bytes")
    return content.decode()
