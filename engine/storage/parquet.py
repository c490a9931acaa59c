"""Parquet files of one table: written once, checked whenever they are read.

A file holds unique points, sorted by tags and time, in row groups of about 128k rows: zstd level 1,
dictionaries on tags only, statistics (but not of long texts) and page indexes for who reads parts.
The columns are those that have a value, sorted by name; types are Arrow's own, so that nanoseconds
and unsigned integers come back as they were.

    <root>/parquet/<database id>/<table id>/<day of the oldest row>/<order>-<8 hex digits>.parquet

A file is written beside its place under a name that begins with `.unfinished-`, synced, renamed,
and its folder synced. Only then may the catalog name it. Its checksum is of what was given to the
system, not of what the system gives back.

Any thread may call; nothing is shared.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from crc32c import crc32c

from engine.errors import DamagedFile, DiskFailed
from engine.faultpoint import reach
from engine.folders import make_folder, sync_folder
from engine.model.file import ParquetFile
from engine.storage.dedup import merge_duplicates, sorted_points, time_values
from engine.storage.pieces import with_own_values
from engine.storage.union import without_empty_columns

__all__ = [
    "FOLDER",
    "UNFINISHED_PREFIX",
    "check_file",
    "new_path",
    "read_file",
    "uncompressed_bytes",
    "unreadable",
    "write_file",
]

FOLDER = "parquet"
UNFINISHED_PREFIX = ".unfinished-"
_GROUP_ROWS = 131_072
_READ_BYTES = 2**20
_MAX_STATISTICS_BYTES = 1024  # of a value; the writer leaves out bounds above 4096
_PASSING = frozenset([errno.EMFILE, errno.ENFILE, errno.ENOMEM])  # nothing is wrong with the file


def new_path(database_id: int, table_id: int, min_ns: int, order: int) -> str:
    """Return a path below the root that no other file has.

    Args:
        database_id: catalog id.
        table_id: likewise.
        min_ns: time of the oldest row, UTC nanoseconds.
        order: see `ParquetFile`.
    """
    day = datetime.fromtimestamp(min_ns // 10**9, UTC).date().isoformat()
    name = f"{order:020}-{secrets.token_hex(4)}.parquet"
    return f"{FOLDER}/{database_id}/{table_id}/{day}/{name}"


def write_file(
    rows: pa.RecordBatch, tags: Sequence[str], root: Path, path: str, order: int
) -> ParquetFile:
    """Write the unique points of some rows durably.

    Args:
        rows: at least one; of two rows of a point the later one wins.
        tags: the series key, in order of creation.
        root: the node's folder.
        path: below it; see `new_path`.
        order: see `ParquetFile`.

    Raises:
        DiskFailed: the file could not be made durable; nothing is left of it.
        pa.ArrowException: the rows take too much memory; likewise.
    """
    points = without_empty_columns(sorted_points(merge_duplicates(rows, tags), tags))
    points = points.select(sorted(points.schema.names, key=str.encode))
    target = root / path
    unfinished = target.with_name(UNFINISHED_PREFIX + target.name)
    try:
        make_folder(target.parent)
        size, checksum = _write(unfinished, points)
        unfinished.rename(target)
        reach("storage.file_renamed")
        sync_folder(target.parent)
    except OSError as error:
        # A file that the catalog does not name is removed at the next start at the latest.
        _remove(unfinished, target)
        raise DiskFailed(f"{path} could not be written: {error}") from error
    except pa.ArrowException:
        _remove(unfinished)
        raise
    time = time_values(points)
    return ParquetFile(
        path, points.num_rows, size, checksum, int(time.min()), int(time.max()), order
    )


def read_file(root: Path, file: ParquetFile, columns: Sequence[str] | None = None) -> pa.Table:
    """Read the rows of a file, or some columns of them, after its checksum has been checked.

    Raises:
        DamagedFile: it is missing or not what was written.
        DiskFailed: the system has no room to open it now.
    """
    content = _content(root, file)
    if len(content) != file.size_bytes or crc32c(content) != file.crc32c:
        raise DamagedFile(file.path, "is damaged")
    try:
        return pq.read_table(pa.BufferReader(content), columns=columns)
    except (pa.ArrowException, OSError) as error:
        raise DamagedFile(file.path, f"cannot be read ({error})") from error


def check_file(root: Path, file: ParquetFile) -> None:
    """Check a file's size and checksum, in little memory.

    Raises:
        DamagedFile: it is missing or not what was written.
        DiskFailed: the system has no room to open it now.
    """
    checksum = size = 0
    try:
        with (root / file.path).open("rb") as content:
            while block := content.read(_READ_BYTES):
                checksum, size = crc32c(block, checksum), size + len(block)
    except OSError as error:
        raise unreadable(file, error) from error
    if (size, checksum) != (file.size_bytes, file.crc32c):
        raise DamagedFile(file.path, "is damaged")


def uncompressed_bytes(root: Path, file: ParquetFile) -> int:
    """Return about how many bytes a file's rows have when they are read, from its footer.

    Raises:
        DamagedFile: it is missing or not what was written.
        DiskFailed: the system has no room to open it now.
    """
    try:
        with (root / file.path).open("rb") as content:
            footer = pq.read_metadata(content)
    except pa.ArrowMemoryError:
        raise
    except pa.ArrowException as error:
        raise DamagedFile(file.path, f"cannot be read ({error})") from error
    except OSError as error:
        raise unreadable(file, error) from error
    return sum(footer.row_group(n).total_byte_size for n in range(footer.num_row_groups))


def unreadable(file: ParquetFile, error: OSError) -> DamagedFile | DiskFailed:
    """Say what it means that a file could not be opened or read."""
    if error.errno in _PASSING:
        return DiskFailed(f"{file.path} cannot be read now: {error.strerror}")
    return DamagedFile(file.path, f"cannot be read ({error.strerror or error})")


def _remove(*paths: Path) -> None:
    with contextlib.suppress(OSError):
        for path in paths:
            path.unlink(missing_ok=True)


class _Sink:
    """A file that is written from front to back, with the checksum of what was written."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.size = 0
        self.checksum = 0
        self.closed = False

    def write(self, content: pa.Buffer | bytes) -> int:
        """Append; the disk may refuse."""
        block = memoryview(content)
        self._file.write(block)
        self.checksum = crc32c(block, self.checksum)
        self.size += len(block)
        return len(block)

    def tell(self) -> int:
        """Return how much has been written."""
        return self.size

    def flush(self) -> None:
        """Do nothing: the owner flushes."""

    def close(self) -> None:
        """Take no more; the owner closes the file."""
        self.closed = True


def _write(path: Path, points: pa.RecordBatch) -> tuple[int, int]:
    """Write and sync a file; return its size and checksum."""
    with path.open("xb") as file:
        sink = _Sink(file)
        names = [f.name for f in points.schema if pa.types.is_dictionary(f.type)]
        with pq.ParquetWriter(
            pa.PythonFile(sink, mode="w"),
            points.schema,
            compression="zstd",
            compression_level=1,
            use_dictionary=names or False,
            write_statistics=[f.name for f in points.schema if _is_bounded(points.column(f.name))],
            write_page_index=True,
        ) as writer:
            for group in _groups(points):
                writer.write_batch(group)
        file.flush()
        reach("storage.file_written")
        os.fsync(file.fileno())
        reach("storage.file_synced")
    return sink.size, sink.checksum


def _is_bounded(column: pa.Array) -> bool:
    """Tell whether every row group can have the bounds of its values.

    If one had none, readers would take those of the others for the bounds of the file, and so miss
    values, or take all for equal.
    """
    values = column.dictionary if pa.types.is_dictionary(column.type) else column
    if not pa.types.is_string(values.type):
        return True
    longest = pc.max(pc.binary_length(values)).as_py()
    return longest is None or int(longest) <= _MAX_STATISTICS_BYTES


def _groups(points: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """Cut into row groups, each with its own tag values only when there are many."""
    for start in range(0, points.num_rows, _GROUP_ROWS):
        yield with_own_values(points.slice(start, _GROUP_ROWS))


def _content(root: Path, file: ParquetFile) -> bytes:
    try:
        return (root / file.path).read_bytes()
    except OSError as error:
        raise unreadable(file, error) from error
