"""Write rows of a table as files: merged, without those past their retention, cut in time.

Any thread; nothing is shared.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from engine.catalog.state import Catalog, Table
from engine.errors import DiskFailed
from engine.model.file import ParquetFile
from engine.model.schema import TIME
from engine.storage.dedup import merge_duplicates, time_values
from engine.storage.files import Files
from engine.storage.parquet import new_path, write_file
from engine.storage.union import joined
from engine.upkeep.planning import MAX_BYTES, file_bounds, rows_limit

__all__ = ["Kept", "give_back_memory", "oldest_kept_ns", "write_one", "write_rows"]

_DAY_NS = 86_400 * 10**9
_MIN_NS = -(2**63)
_MAX_DAYS = 32
_ROWS_A_DAY = 50_000  # smaller files are not worth a cut at midnight


@dataclass(frozen=True, slots=True)
class Kept:
    """Which rows are kept, and how old they are to count.

    Args:
        oldest_ns: rows before this time are left out; None for none.
        order: of the files; see `ParquetFile`.
    """

    oldest_ns: int | None
    order: int


def oldest_kept_ns(catalog: Catalog, table: Table, now_ns: int) -> int | None:
    """Return the time before which a table's rows are past their retention, or None."""
    retention_ns = catalog.database_by_id(table.database_id).retention_ns
    return None if retention_ns is None else max(_MIN_NS, now_ns - retention_ns)


def write_rows(
    files: Files, table: Table, parts: Sequence[pa.RecordBatch], kept: Kept
) -> tuple[ParquetFile, ...]:
    """Write rows durably, to be named by the catalog.

    Args:
        files: where.
        table: whose.
        parts: in the order in which they were written; columns may differ.
        kept: which.

    Returns:
        Files whose times do not touch; none when no row is kept.

    Raises:
        DiskFailed: nothing is left of them.
        pa.ArrowException: the rows take too much memory; likewise.
    """
    rows = _within(parts, kept.oldest_ns)
    if rows is None:
        return ()
    written: list[ParquetFile] = []
    try:
        for part in _cut(merge_duplicates(rows, table.schema.tags), len(table.schema.columns) + 1):
            file = _write(files, table, part, kept.order)
            written.append(file)  # one by one, to be found after a failure
    except (DiskFailed, pa.ArrowException):
        files.discard([file.path for file in written])
        raise
    return tuple(written)


def write_one(
    files: Files, table: Table, parts: Sequence[pa.RecordBatch], kept: Kept
) -> ParquetFile | None:
    """Write rows durably as one file, to be named by the catalog; None when no row is kept.

    Args:
        files: where.
        table: whose.
        parts: oldest first; columns may differ.
        kept: which.

    Raises:
        DiskFailed: nothing is left of it.
        pa.ArrowException: the rows take too much memory; likewise.
    """
    rows = _within(parts, kept.oldest_ns)
    return None if rows is None else _write(files, table, rows, kept.order)


def give_back_memory() -> None:
    """Return to the system what large Arrow values have left behind."""
    pa.default_memory_pool().release_unused()


def _write(files: Files, table: Table, rows: pa.RecordBatch, order: int) -> ParquetFile:
    path = new_path(table.database_id, table.id, int(time_values(rows).min()), order)
    return write_file(rows, table.schema.tags, files.root, path, order)


def _within(parts: Sequence[pa.RecordBatch], oldest_ns: int | None) -> pa.RecordBatch | None:
    if oldest_ns is not None:
        oldest = pa.scalar(oldest_ns, pa.timestamp("ns"))
        parts = [part.filter(pc.greater_equal(part.column(TIME), oldest)) for part in parts]
    parts = [part for part in parts if part.num_rows]
    return joined(parts) if parts else None


def _cut(points: pa.RecordBatch, columns: int) -> Iterator[pa.RecordBatch]:
    """Cut unique points into what goes into one file each."""
    time = time_values(points)
    max_rows = rows_limit(columns)
    if points.nbytes > MAX_BYTES:
        max_rows = max(1, min(max_rows, points.num_rows * MAX_BYTES // points.nbytes))
    is_few = points.num_rows <= max_rows
    if is_few and int(time.min()) // _DAY_NS == int(time.max()) // _DAY_NS:
        yield points
        return
    order = np.argsort(time, kind="stable")
    for start, end in _bounds(time[order], max_rows):
        yield points.take(pa.array(order[start:end]))


def _bounds(time: npt.NDArray[np.int64], max_rows: int) -> Iterator[tuple[int, int]]:
    """Return the cuts of sorted times: at midnight when the days are few and full."""
    days = np.flatnonzero(np.diff(time // _DAY_NS)) + 1
    if len(days) >= _MAX_DAYS or len(time) < (len(days) + 1) * _ROWS_A_DAY:
        days = days[:0]
    edges = [0, *days.tolist(), len(time)]
    for start, end in pairwise(edges):
        for low, high in file_bounds(time[start:end], max_rows):
            yield start + low, start + high
