"""Which files of a table are put together, and where rows are cut into files.

Two reasons. Many small neighbours in time become one: at each of a few sizes, four or more of them,
so that each row is written again a few times at most. And files that cover the same time are put
together because a query has to merge what they share; see `engine.upkeep.overlaps`.

A group must be closed: no file outside of it that touches its time may be of an age between its
oldest and its newest, or rows would change their order. Its output has the age of its newest.
A file has about a million rows at most, and fewer in tables with many columns. Where rows are
large, files count as more rows than they have; see `engine.upkeep.weights`.

Pure; any thread.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from engine.model.file import ParquetFile
from engine.upkeep.overlaps import MAX_FILES, overlap_group

__all__ = ["MAX_BYTES", "MAX_ROWS", "file_bounds", "next_group", "rows_limit"]

MAX_ROWS = 1_000_000
MAX_BYTES = 256 * 2**20  # of a file, uncompressed; in memory likewise
_MAX_CELLS = 8_000_000  # a compaction has them in memory about three times
_FAN_IN = 4
_TIERS = (1024, 256, 64, 16, 4)  # parts of the limit; a file belongs to those that it is below


def rows_limit(columns: int) -> int:
    """Return how many rows a file may have that is made from others.

    Args:
        columns: of the table, `time` included.
    """
    return max(1, min(MAX_ROWS, _MAX_CELLS // max(1, columns)))


def next_group(
    files: Sequence[ParquetFile], max_rows: int, barred: Collection[str] = frozenset()
) -> tuple[ParquetFile, ...]:
    """Return the files that should be put together next, oldest first, or none.

    Args:
        files: all of a table.
        max_rows: of a file.
        barred: paths of files that no group may have.

    Returns:
        Files that become one; or, with more rows than one may have, files that become several
        whose times do not touch.
    """
    by_time = sorted(files, key=lambda file: (file.min_ns, file.order))
    for candidate in _runs_of_small(by_time, max_rows, barred):
        group = _closed(candidate, by_time)
        is_free = all(file.path not in barred for file in group)
        if is_free and len(group) <= MAX_FILES and sum(file.rows for file in group) <= max_rows:
            return tuple(sorted(group, key=lambda file: (file.order, file.min_ns)))
    return overlap_group(files, max_rows, barred)


def file_bounds(time: npt.NDArray[np.int64], max_rows: int) -> list[tuple[int, int]]:
    """Cut rows into files between rows of different times.

    Args:
        time: of the rows, ascending.
        max_rows: of a file; more only where so many have the same time.

    Returns:
        [start, end) of each file.
    """
    parts = -(-len(time) // max_rows)
    wanted = [len(time) * part // parts for part in range(1, parts)]
    cuts = {int(np.searchsorted(time, time[place], "left")) for place in wanted}
    bounds = sorted({0, len(time)} | cuts)
    return list(pairwise(bounds))


def _runs_of_small(
    by_time: Sequence[ParquetFile], max_rows: int, barred: Collection[str]
) -> Iterator[Sequence[ParquetFile]]:
    """Yield neighbours in time that are all small, the smallest sizes first."""
    for part in _TIERS:
        run: list[ParquetFile] = []
        rows = 0
        for file in (*by_time, None):
            fits = file is not None and file.rows * part < max_rows and rows + file.rows <= max_rows
            if file is not None and fits and len(run) < MAX_FILES and file.path not in barred:
                run.append(file)
                rows += file.rows
                continue
            if len(run) >= _FAN_IN:
                yield run
            run, rows = [], 0


def _closed(group: Sequence[ParquetFile], files: Sequence[ParquetFile]) -> list[ParquetFile]:
    """Add the files without which the group would change the order of rows."""
    inside = list(group)
    while True:
        low, high = min(f.min_ns for f in inside), max(f.max_ns for f in inside)
        oldest, newest = min(f.order for f in inside), max(f.order for f in inside)
        known = {file.path for file in inside}
        missing = [
            file
            for file in files
            if file.path not in known
            and file.min_ns <= high
            and file.max_ns >= low
            and oldest <= file.order <= newest
        ]
        if not missing:
            return inside
        inside += missing
