"""The files of rows on disk: who reads one keeps it there, who replaces one lets it go.

A file that the catalog does not name any more is removed when nobody reads it; a crash before that
leaves it to the sweep of the next start. Removing is not synced: a file that comes back after a
power loss is swept as well.

Threads: any; `_lock` guards the counts of readers and the paths that wait for their last reader.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from engine.faultpoint import reach
from engine.storage.parquet import FOLDER

__all__ = ["Files"]

log = logging.getLogger(__name__)


class Files:
    """The files below a node's folder; see the module for threads.

    Args:
        root: the node's folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._lock = threading.Lock()
        self._readers: Counter[str] = Counter()
        self._leaving: set[str] = set()

    def __repr__(self) -> str:
        """Describe the state in a sentence."""
        with self._lock:
            return f"<Files in {self.root}: {len(self._readers)} read, {len(self._leaving)} leave>"

    @contextmanager
    def pin(self, paths: Iterable[str]) -> Iterator[None]:
        """Keep files where they are, be they discarded meanwhile.

        Take the pin, then look whether the catalog still names the files: one that was discarded
        before is gone.

        Args:
            paths: below the root, as the catalog names them.
        """
        held = tuple(paths)
        with self._lock:
            self._readers.update(held)
        try:
            yield
        finally:
            self._remove(self._released(held))

    def discard(self, paths: Iterable[str]) -> None:
        """Remove files that the catalog does not name any more, as soon as nobody reads them."""
        with self._lock:
            given = set(paths)
            self._leaving |= {path for path in given if self._readers[path]}
            self._readers = +self._readers
            free = given - self._leaving
        self._remove(free)

    def sweep(self, known: Collection[str]) -> int:
        """Remove unfinished files and those that the catalog does not name; return how many.

        To be called before anybody writes or reads files.

        Args:
            known: the paths that the catalog names.
        """
        kept = {self.root / path for path in known}
        found = [path for path in (self.root / FOLDER).rglob("*") if path.is_file()]
        unknown = [path for path in found if path not in kept]
        for path in unknown:
            path.unlink(missing_ok=True)
        _remove_empty_folders(self.root / FOLDER)
        return len(unknown)

    def _released(self, held: Iterable[str]) -> set[str]:
        with self._lock:
            self._readers.subtract(held)
            self._readers = +self._readers
            free = {path for path in self._leaving if path not in self._readers}
            self._leaving -= free
            return free

    def _remove(self, paths: Collection[str]) -> None:
        for path in paths:
            try:
                (self.root / path).unlink(missing_ok=True)
            except OSError as error:  # the next start will try again
                log.warning("file could not be removed", extra={"path": path, "error": str(error)})
        if paths:
            reach("storage.files_removed")


def _remove_empty_folders(folder: Path) -> None:
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir() and not any(path.iterdir()):
            path.rmdir()
