"""Files as planning counts them: one with large rows counts as more rows than it has.

What a compaction may hold in memory is bounded in rows and in bytes. A file that has, uncompressed,
a tenth of these bytes counts as a tenth of these rows at least. So whatever is planned in rows
is bounded in bytes as well. The bytes stand in the file's footer, which is read when the file is
about to be put together with others, and remembered.

Threads: one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from engine.catalog.state import Table
from engine.model.file import ParquetFile
from engine.storage.files import Files
from engine.storage.parquet import uncompressed_bytes
from engine.upkeep.planning import MAX_BYTES

__all__ = ["TooLarge", "Weights"]


class TooLarge(Exception):
    """A file cannot be put together with others in bounded memory.

    Args:
        path: of the file.
        size_bytes: of its columns, uncompressed.
    """

    def __init__(self, path: str, size_bytes: int) -> None:
        super().__init__(f"{path} has {size_bytes} bytes when it is not compressed")
        self.path = path


class Weights:
    """What is known of the files of all tables.

    Args:
        files: where they are.
    """

    def __init__(self, files: Files) -> None:
        self._files = files
        self._bytes: dict[int, dict[str, int]] = {}  # by table and path

    def counted(self, table: Table, max_rows: int) -> tuple[ParquetFile, ...]:
        """Return a table's files, each with the rows that it counts as, as far as is known.

        Args:
            table: whose; what is known of files that it had before is forgotten.
            max_rows: that a file may count as which is made from others.
        """
        known = self._bytes.get(table.id, {})
        known = {file.path: known[file.path] for file in table.files if file.path in known}
        self._bytes[table.id] = known
        return tuple(
            replace(file, rows=_weight(file.rows, known[file.path], max_rows))
            if file.path in known
            else file
            for file in table.files
        )

    def learn(self, table: Table, group: Iterable[ParquetFile], max_rows: int) -> bool:
        """Look at files of which nothing is known; they have to stay until this returns.

        Returns:
            Whether one of them counts as more than was thought.

        Raises:
            TooLarge: one of them is.
            DamagedFile: likewise.
            DiskFailed: the system has no room to open one now.
        """
        known = self._bytes.setdefault(table.id, {})
        has_grown = False
        for file in group:
            if file.path in known:
                continue
            size = uncompressed_bytes(self._files.root, file)
            if size > MAX_BYTES:
                raise TooLarge(file.path, size)
            known[file.path] = size
            has_grown |= _weight(file.rows, size, max_rows) > file.rows
        return has_grown


def _weight(rows: int, size_bytes: int, max_rows: int) -> int:
    return max(rows, -(-size_bytes * max_rows // MAX_BYTES))
