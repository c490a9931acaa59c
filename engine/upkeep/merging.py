"""Files of a table become others with the same rows, one slice of time after the other.

Only the times of all rows are read at once, to see where to cut. Then each slice is read from every
file, merged and written as a file, so that the rows of one slice at most are in memory. A file
whose rows are large counts as more; see `engine.upkeep.weights`.

Any thread; nothing is shared.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from engine.catalog.state import Table
from engine.errors import EngineError
from engine.model.file import ParquetFile
from engine.storage.files import Files
from engine.storage.stretches import Stretches
from engine.upkeep.overlaps import cut_times
from engine.upkeep.planning import MAX_BYTES, rows_limit
from engine.upkeep.writing import Kept, give_back_memory, write_one

__all__ = ["MergeStopped", "TooDense", "merge_files"]

_MAX_EXCESS = 2  # times the limits, for rows of one time and for large rows among small ones


class TooDense(Exception):
    """The rows of a slice cannot be put together in bounded memory; says why."""


class MergeStopped(Exception):
    """Whoever asked has to stop; nothing is left of the files."""


def merge_files(
    files: Files,
    table: Table,
    group: Sequence[ParquetFile],
    kept: Kept,
    before_slice: Callable[[], None],
) -> tuple[ParquetFile, ...]:
    """Write the rows of some files durably as others, to be named by the catalog instead.

    Args:
        files: where they are.
        table: whose.
        group: oldest first, with the rows that they count as; they have to stay until this
            returns.
        kept: which rows.
        before_slice: may raise MergeStopped.

    Returns:
        Files whose times do not touch; none when no row is kept.

    Raises:
        DamagedFile: one of them is.
        DiskFailed: the disk refused.
        TooDense: it would take too much memory.
        MergeStopped: nothing is left of new files, nor after the others.
        pa.ArrowException: it would take more memory than there is or than a column may have.
    """
    inputs = [Stretches(files.root, file) for file in group]
    bounds = _bounds(inputs, table, rows_limit(len(table.schema.columns) + 1))
    written: list[ParquetFile] = []
    try:
        for low, high in bounds:
            before_slice()
            rows = _read(inputs, low, high)
            if (file := write_one(files, table, rows, kept)) is not None:
                written.append(file)
            del rows
            give_back_memory()
    except (EngineError, MergeStopped, TooDense, pa.ArrowException):
        files.discard([file.path for file in written])
        raise
    return tuple(written)


def _read(inputs: Sequence[Stretches], low: int, high: int) -> list[pa.RecordBatch]:
    rows: list[pa.RecordBatch] = []
    size = 0
    for source in inputs:
        found = source.read(low, high)
        size += sum(batch.nbytes for batch in found)
        if size > _MAX_EXCESS * MAX_BYTES:
            raise TooDense("too many large rows have about the same time")
        rows += found
    return rows


def _spread(time: npt.NDArray[np.int64], count: int) -> npt.NDArray[np.int64]:
    """Repeat times evenly, so that there are as many as the file counts as."""
    return time if count == len(time) else time[np.arange(count) * len(time) // count]


def _bounds(inputs: Sequence[Stretches], table: Table, max_rows: int) -> list[tuple[int, int]]:
    """Return the first and the last time of each slice."""
    first = min(source.file.min_ns for source in inputs)
    last = max(source.file.max_ns for source in inputs)
    rows = sum(source.file.rows for source in inputs)
    if rows <= max_rows:
        return [(first, last)]
    time = np.empty(rows, dtype=np.int64)
    place = 0
    for source in inputs:
        time[place : place + source.file.rows] = _spread(source.times(), source.file.rows)
        place += source.file.rows
    time.sort()
    paths = {source.file.path for source in inputs}
    others = [
        file
        for file in table.files
        if file.path not in paths and file.min_ns <= last and file.max_ns >= first
    ]
    cuts = cut_times(time, max_rows, others)
    places = [0, *np.searchsorted(time, cuts, "left").tolist(), rows]
    if max(end - start for start, end in pairwise(places)) > _MAX_EXCESS * max_rows:
        raise TooDense("too many rows have the same time")
    edges = [first, *cuts, last + 1]
    return [(start, end - 1) for start, end in pairwise(edges)]
