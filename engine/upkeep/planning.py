"""Which files of a table become one, and where rows are cut into files.

Two reasons to put files together. Many small neighbours in time become one: at each of a few sizes,
four or more of them, so that each row is written again a few times at most. And files that cover
the same time in more than a sliver become one, because a query has to merge what they share. A
slight overlap where one persist follows another is left alone.

A group must be closed: no file outside of it that touches its time may be of an age between its
oldest and its newest, or rows would change their order. Its output has the age of its newest.
A group has about a million rows at most, and fewer of tables with many columns.

Pure; any thread.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, pairwise

import numpy as np
import numpy.typing as npt

from engine.model.file import ParquetFile

__all__ = ["MAX_ROWS", "file_bounds", "next_group", "rows_limit"]

MAX_ROWS = 1_000_000
_MAX_CELLS = 8_000_000  # a compaction has them in memory about three times
_FAN_IN = 4
_MAX_FILES = 64
_TIERS = (1024, 256, 64, 16, 4)  # parts of the limit; a file belongs to those that it is below
_SLIVER = 0.1  # part of the shorter file's time
_WORTHWHILE = 8  # parts of a large file that it takes to write it again


def rows_limit(columns: int) -> int:
    """Return how many rows a file may have that is made from others.

    Args:
        columns: of the table, `time` included.
    """
    return max(1, min(MAX_ROWS, _MAX_CELLS // max(1, columns)))


def next_group(files: Sequence[ParquetFile], max_rows: int) -> tuple[ParquetFile, ...]:
    """Return the files that should become one next, oldest first, or none.

    Args:
        files: all of a table.
        max_rows: of the group.
    """
    by_time = sorted(files, key=lambda file: (file.min_ns, file.order))
    for candidate in chain(_runs_of_small(by_time, max_rows), _overlapping(by_time, max_rows)):
        group = _closed(candidate, by_time)
        if len(group) <= _MAX_FILES and sum(file.rows for file in group) <= max_rows:
            return tuple(sorted(group, key=lambda file: (file.order, file.min_ns)))
    return ()


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
    by_time: Sequence[ParquetFile], max_rows: int
) -> Iterator[Sequence[ParquetFile]]:
    """Yield neighbours in time that are all small, the smallest sizes first."""
    for part in _TIERS:
        run: list[ParquetFile] = []
        rows = 0
        for file in (*by_time, None):
            fits = file is not None and file.rows * part < max_rows and rows + file.rows <= max_rows
            if file is not None and fits and len(run) < _MAX_FILES:
                run.append(file)
                rows += file.rows
                continue
            if len(run) >= _FAN_IN:
                yield run
            run, rows = [], 0


def _overlapping(by_time: Sequence[ParquetFile], max_rows: int) -> Iterator[Sequence[ParquetFile]]:
    """Yield files that cover the same time, as many at once as the limit allows."""
    for component in _components(by_time):
        component.sort(key=lambda file: (file.order, file.min_ns))
        windows = sorted(_windows(component, max_rows), key=len, reverse=True)
        yield from (window for window in windows if _is_worthwhile(window))


def _components(by_time: Sequence[ParquetFile]) -> Iterator[list[ParquetFile]]:
    """Yield the groups of files that hang together by more than slivers."""
    active: list[ParquetFile] = []
    of: dict[str, list[ParquetFile]] = {}
    for file in by_time:
        active = [other for other in active if other.max_ns >= file.min_ns]
        own = of[file.path] = [file]
        for other in active:
            joining = of[other.path]
            if joining is not own and _overlaps_much(other, file):
                own += joining
                of.update((member.path, own) for member in joining)
        active.append(file)
    components = {id(group): group for group in of.values()}
    yield from (group for group in components.values() if len(group) > 1)


def _windows(by_order: Sequence[ParquetFile], max_rows: int) -> Iterator[Sequence[ParquetFile]]:
    """Yield the longest runs of files, in order of age, that fit the limit."""
    start = rows = 0
    for end, file in enumerate(by_order, 1):
        rows += file.rows
        while rows > max_rows or end - start > _MAX_FILES:
            rows -= by_order[start].rows
            start += 1
        is_last = end == len(by_order) or rows + by_order[end].rows > max_rows
        if is_last and end - start > 1:
            yield by_order[start:end]


def _is_worthwhile(window: Sequence[ParquetFile]) -> bool:
    """Whether these overlap each other, and are not a large file with little beside it."""
    by_time = sorted(window, key=lambda file: file.min_ns)
    if not any(_overlaps_much(a, b) for n, a in enumerate(by_time) for b in by_time[n + 1 :]):
        return False
    rows = [file.rows for file in window]
    return len(rows) >= _FAN_IN or (sum(rows) - max(rows)) * _WORTHWHILE >= max(rows)


def _overlaps_much(a: ParquetFile, b: ParquetFile) -> bool:
    shared = min(a.max_ns, b.max_ns) - max(a.min_ns, b.min_ns) + 1
    shorter = min(a.max_ns - a.min_ns, b.max_ns - b.min_ns) + 1
    return shared > _SLIVER * shorter


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
