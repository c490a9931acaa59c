"""Files and folders that are sent over HTTP, put into the plugin folder whole or not at all.

    <plugin-dir>/.uploads/<random>/     one upload while it is written
        new                             what is to be put in place, or its topmost new folder
        place                           only where two paths cannot change places in one step:
        old                             the path to replace, and what stood there

Everything is written and synced aside, then put in place by one rename; a folder that exists
changes places with the new one. Where the file system cannot do that, two renames do it, and
`clean` undoes a first one that was not followed by the second. Any thread; `_lock` makes uploads
follow one another.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from engine.errors import PluginFileError
from engine.folders import sync_folder
from engine.plugins.code import ENTRY_FILE, MAX_SOURCE_BYTES
from engine.plugins.disk import exchange, write_file
from engine.plugins.paths import UploadRefused, inside, written_name

__all__ = ["UploadedFile", "Uploads"]

log = logging.getLogger(__name__)
_SCRATCH = ".uploads"
_MAX_FILES = 1000
_FOLDER_MODE = 0o755


@dataclass(frozen=True, slots=True)
class UploadedFile:
    """A file of a folder: its path in the folder, and its content."""

    name: str
    content: bytes


class Uploads:
    """Writes into the plugin folder, which is made when first needed."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory.absolute()
        self._scratch = self._directory / _SCRATCH
        self._lock = threading.Lock()

    def clean(self) -> None:
        """Remove what a crash left behind; call before plugins are read."""
        if self._scratch.is_symlink():
            self._scratch.unlink()
        if not self._scratch.exists():
            return
        for left in self._scratch.iterdir():
            try:
                _undo_first_rename(left)
            except OSError:
                log.exception("a plugin folder is not back in its place", extra={"path": left})
                continue
            shutil.rmtree(left, ignore_errors=True)
        with contextlib.suppress(OSError):
            self._scratch.rmdir()

    def put_file(self, name: str, content: bytes) -> None:
        """Write a file, replacing one of this name; folders are made as needed.

        Args:
            name: relative to the plugin folder.
            content: anything; whether it is Python shows when it runs.

        Raises:
            UploadRefused: the name, the place or the size is not accepted.
            PluginFileError: the disk refuses.
        """
        written_name(name)
        _check_size(name, content)
        with self._changing(name) as scratch:
            place = self._place(name)
            if place.is_dir():
                raise UploadRefused(f"plugin filename '{name}' names a folder")
            write_file(scratch / "new", content)
            _put(scratch, place)

    def put_folder(self, name: str, files: Sequence[UploadedFile]) -> None:
        """Replace a plugin's folder by one with exactly these files.

        Args:
            name: of the folder, relative to the plugin folder.
            files: `__init__.py` must be among them.

        Raises:
            UploadRefused: a name, the place, the size or the number of files is not accepted.
            PluginFileError: the disk refuses.
        """
        written_name(name)
        _check_files(name, files)
        with self._changing(name) as scratch:
            place = self._place(name)
            if place.exists() and not place.is_dir():
                raise UploadRefused(f"plugin '{name}' is a single file, not a folder")
            _fill(scratch / "new", files)
            _put(scratch, place)

    @contextmanager
    def _changing(self, name: str) -> Iterator[Path]:
        """Give a scratch folder of its own to one upload at a time."""
        try:
            with self._lock:
                self._scratch.mkdir(parents=True, exist_ok=True)
                scratch = Path(tempfile.mkdtemp(dir=self._scratch))
                try:
                    yield scratch
                finally:
                    shutil.rmtree(scratch, ignore_errors=True)
                    with contextlib.suppress(OSError):
                        self._scratch.rmdir()
        except OSError as error:
            reason = error.strerror or str(error)
            raise PluginFileError(f"writing plugin file: {name}: {reason}") from error

    def _place(self, name: str) -> Path:
        """Return where a name leads to, through links that stay inside."""
        try:
            place = inside(self._directory, name).resolve()
        except PluginFileError as error:
            raise UploadRefused(str(error)) from error
        existing = _existing(place)
        if existing != place and not existing.is_dir():
            raise UploadRefused(f"plugin filename '{name}' goes through a file, not a folder")
        return place


def _check_size(name: str, content: bytes) -> None:
    if len(content) > MAX_SOURCE_BYTES:
        raise UploadRefused(f"plugin file '{name}' is larger than {MAX_SOURCE_BYTES} bytes")


def _check_files(name: str, files: Sequence[UploadedFile]) -> None:
    if len(files) > _MAX_FILES:
        raise UploadRefused(f"plugin '{name}' has more than {_MAX_FILES} files")
    names = {written_name(file.name) for file in files}
    folders = {parent for path in names for parent in path.parents}
    if len(names) < len(files) or names & folders:
        raise UploadRefused(f"plugin '{name}': two of its files have the same path")
    if ENTRY_FILE not in {file.name for file in files}:
        raise UploadRefused(f"Multi-file plugin directory must contain {ENTRY_FILE}: {name}")
    for file in files:
        _check_size(file.name, file.content)


def _fill(folder: Path, files: Sequence[UploadedFile]) -> None:
    folders = {folder}
    for file in files:
        path = folder / file.name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_file(path, file.content)
        folders |= {parent for parent in path.parents if parent.is_relative_to(folder)}
    for made in folders:
        made.chmod(_FOLDER_MODE)
        sync_folder(made)


def _put(scratch: Path, place: Path) -> None:
    """Put `scratch/new` in place; the rename is the moment at which the upload has happened."""
    new = scratch / "new"
    existing = _existing(place)
    if existing != place:
        _put_with_folders(new, existing, place)
    elif place.is_dir():
        _replace_folder(scratch, new, place)
    else:
        new.replace(place)
    sync_folder(place.parent)


def _put_with_folders(new: Path, existing: Path, place: Path) -> None:
    """Make the missing folders around the new path first, so that one rename brings all."""
    top, *inner = place.relative_to(existing).parts
    if inner:
        tree = new.parent / "tree"
        tree.joinpath(*inner[:-1]).mkdir(parents=True)
        new.rename(tree.joinpath(*inner))
        for made in (tree, *(tree.joinpath(*inner[:n]) for n in range(1, len(inner)))):
            made.chmod(_FOLDER_MODE)
            sync_folder(made)
        new = tree
    new.rename(existing / top)
    sync_folder(existing)


def _replace_folder(scratch: Path, new: Path, place: Path) -> None:
    if exchange(new, place):
        return
    write_file(scratch / "place", os.fsencode(place))
    sync_folder(scratch)
    place.rename(scratch / "old")
    try:
        new.rename(place)
    except OSError:
        _undo_first_rename(scratch)
        raise


def _undo_first_rename(scratch: Path) -> None:
    note, old = scratch / "place", scratch / "old"
    if old.exists() and note.exists():
        place = Path(os.fsdecode(note.read_bytes()))
        if not place.exists():
            old.rename(place)
            sync_folder(place.parent)


def _existing(path: Path) -> Path:
    """Return the deepest part of a path that is there."""
    while not os.path.lexists(path):
        path = path.parent
    return path
