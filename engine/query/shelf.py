"""The files that queries have read: which are whole, and what was merged from several.

A file never changes once the catalog names it, so its checksum is looked at once, by the first
query that reads it, and what was merged from files alone may be kept. That a file is there with
its size is looked at by every query: a missing one would count as empty.

Threads: any; `_lock` guards the set of checked paths, the merged rows and their size. No file is
read under it: two queries may check the same file at once.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from pathlib import Path

import pyarrow as pa

from engine.errors import DamagedFile
from engine.model.file import ParquetFile
from engine.storage.parquet import check_file

__all__ = ["MergeKey", "Shelf"]

MergeKey = tuple[str, tuple[str, ...], int, int, tuple[str, ...]]
_MAX_PATHS = 200_000
_ARRAY_BYTES = 800  # measured: what an Arrow array takes beside its values


class Shelf:
    """What queries know of files; see the module for threads.

    Args:
        max_bytes: of merged rows that are kept; the least recently used go first.
    """

    def __init__(self, max_bytes: int = 64 * 2**20) -> None:
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._checked: set[Path] = set()
        self._merged: OrderedDict[MergeKey, pa.RecordBatch] = OrderedDict()
        self._bytes = 0

    def __repr__(self) -> str:
        """Describe the shelf in a sentence."""
        with self._lock:
            return f"<Shelf: {len(self._checked)} files checked, {self._bytes} bytes merged>"

    def check(self, root: str, file: ParquetFile) -> None:
        """Make sure that a file is what was written.

        Raises:
            DamagedFile: it is not.
        """
        path = Path(root, file.path)
        self._check_size(path, file)
        with self._lock:
            if path in self._checked:
                return
        check_file(Path(root), file)
        with self._lock:
            if len(self._checked) >= _MAX_PATHS:
                self._checked.clear()
            self._checked.add(path)

    def check_again(self, root: str, file: ParquetFile) -> None:
        """Look at a file as if for the first time.

        Raises:
            DamagedFile: it is not what was written, or not any more.
        """
        with self._lock:
            self._checked.discard(Path(root, file.path))
        self.check(root, file)

    def merged(self, key: MergeKey) -> pa.RecordBatch | None:
        """Return what was kept under a key."""
        with self._lock:
            if key in self._merged:
                self._merged.move_to_end(key)
            return self._merged.get(key)

    def keep(self, key: MergeKey, rows: pa.RecordBatch) -> None:
        """Keep merged rows of files as long as there is room."""
        with self._lock:
            before = self._merged.pop(key, None)
            self._bytes -= _memory_bytes(before) if before is not None else 0
            self._merged[key] = rows
            self._bytes += _memory_bytes(rows)
            while self._bytes > self._max_bytes:
                _, oldest = self._merged.popitem(last=False)
                self._bytes -= _memory_bytes(oldest)

    def _check_size(self, path: Path, file: ParquetFile) -> None:
        try:
            size_bytes = path.stat().st_size
        except OSError as error:
            raise DamagedFile(file.path, f"cannot be read ({error.strerror})") from error
        if size_bytes != file.size_bytes:
            raise DamagedFile(file.path, "is damaged")


def _memory_bytes(rows: pa.RecordBatch) -> int:
    """Return roughly what rows take with their key; of few rows most is beside the values."""
    return int(rows.nbytes) + _ARRAY_BYTES * (1 + int(rows.num_columns))
