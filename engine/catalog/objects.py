"""Where the catalog keeps its files: a few named objects, created once and never changed.

`create` is conditional: of two writers of one key, one fails. A local directory and an object
store can both do that, so the catalog works on either.

    catalog/<20 digits>.json            commit n
    catalog-snapshots/<20 digits>.json  the catalog as of commit n

May be called from any thread.
"""

from __future__ import annotations

import itertools
import os
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from engine.errors import CorruptCatalog
from engine.faultpoint import reach
from engine.folders import make_folder

__all__ = [
    "COMMITS",
    "SNAPSHOTS",
    "LocalObjects",
    "ObjectExists",
    "Objects",
    "object_key",
    "object_number",
]

COMMITS = "catalog"
SNAPSHOTS = "catalog-snapshots"
_UNFINISHED_PREFIX = ".unfinished-"


def object_key(folder: str, number: int) -> str:
    """Return the key of a commit or snapshot."""
    return f"{folder}/{number:020}.json"


def object_number(key: str) -> int:
    """Return the number of a commit or snapshot.

    Raises:
        CorruptCatalog: the key is none of ours.
    """
    name = key.rpartition("/")[2].removesuffix(".json")
    if not (name.isdecimal() and name.isascii() and key.endswith(".json")):
        raise CorruptCatalog(f"{key} is not a file of the catalog; move it away")
    return int(name)


class ObjectExists(Exception):
    """The key that was to be created is taken."""

    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.key = key


class Objects(Protocol):
    """A flat space of keys with slashes in them; may be called from any thread."""

    def create(self, key: str, content: bytes) -> None:
        """Store a new object; when this returns, it is durable and visible as a whole.

        Raises:
            ObjectExists: the key is taken; nothing has changed.
            OSError: the object is not stored, or it is not known whether it is.
        """
        ...

    def get(self, key: str) -> bytes | None:
        """Return an object's content, or None when there is none."""
        ...

    def list(self, folder: str) -> list[str]:
        """Return the keys `<folder>/<name>` in order."""
        ...

    def delete(self, key: str) -> None:
        """Remove an object; no error when there is none."""
        ...


class LocalObjects:
    """Objects as files below a directory.

    A new object is written beside its place, synced, and then linked to its name, which fails
    when the name is taken and leaves a whole file or none after a crash. Opening the directory
    removes what a crash left unfinished in its folders, so only one process may use a directory.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._numbers = itertools.count()
        make_folder(directory)
        for leftover in directory.glob(f"*/{_UNFINISHED_PREFIX}*"):
            leftover.unlink()

    def __repr__(self) -> str:
        """Name the directory."""
        return f"<LocalObjects in {self._directory}>"

    def create(self, key: str, content: bytes) -> None:
        """Store a new object durably; see `Objects.create`."""
        target = self._directory / key
        make_folder(target.parent)
        unfinished = target.with_name(
            f"{_UNFINISHED_PREFIX}{os.getpid()}-{next(self._numbers)}-{target.name}"
        )
        # Opened before: a lack of descriptors must not leave it open whether the link is durable.
        folder = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            _link_durably(unfinished, target, content)
            os.fsync(folder)
        except FileExistsError:
            raise ObjectExists(key) from None
        finally:
            os.close(folder)
        reach("catalog.object_synced")

    def get(self, key: str) -> bytes | None:
        """Return an object's content, or None when there is none."""
        try:
            return (self._directory / key).read_bytes()
        except FileNotFoundError:
            return None

    def list(self, folder: str) -> list[str]:
        """Return the keys `<folder>/<name>` in order."""
        try:
            names = [path.name for path in (self._directory / folder).iterdir()]
        except FileNotFoundError:
            return []
        return sorted(f"{folder}/{n}" for n in names if not n.startswith(_UNFINISHED_PREFIX))

    def delete(self, key: str) -> None:
        """Remove an object; after a crash it may be there again, which does no harm."""
        (self._directory / key).unlink(missing_ok=True)


def _link_durably(unfinished: Path, target: Path, content: bytes) -> None:
    """Give durable content its name, which is not durable yet."""
    try:
        _write_durably(unfinished, content)
        reach("catalog.object_written")
        os.link(unfinished, target)
        reach("catalog.object_linked")
    finally:
        with suppress(OSError):  # what stays is removed at the next start
            unfinished.unlink(missing_ok=True)


def _write_durably(path: Path, content: bytes) -> None:
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
