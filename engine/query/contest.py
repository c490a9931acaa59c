"""Which times of a table are contested: those for which more than one source has rows.

Each source, a file or rows in memory, covers the times from its first row to its last. Where only
one covers a time, its rows are as they are; where several do, rows of one point may be in each,
and somebody has to merge them.

Pure; may be called from any thread.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from engine.model.file import ParquetFile
from engine.query.time_range import TimeRange

__all__ = ["Contest", "contests", "is_within", "slices", "times_between"]


@dataclass(frozen=True, slots=True)
class Contest:
    """Times that several sources cover.

    Args:
        times: first and last.
        files: those that cover some of them, oldest rows first.
        has_memory: whether rows in memory are among the sources.
    """

    times: TimeRange
    files: tuple[ParquetFile, ...]
    has_memory: bool

    @property
    def rows(self) -> int:
        """About how many rows the files have there, if rows are spread evenly."""
        return sum(_share(file, self.times) for file in self.files)


def contests(files: Sequence[ParquetFile], memory: Iterable[TimeRange]) -> list[Contest]:
    """Find the contested times.

    Args:
        files: of one table.
        memory: the times that rows in memory cover, disjoint.

    Returns:
        In order of time; as long as possible each, but those with and without memory apart.
    """
    steps: dict[int, list[int]] = defaultdict(lambda: [0, 0])
    for file in files:
        steps[file.min_ns][0] += 1
        steps[file.max_ns + 1][0] -= 1
    for times in memory:
        steps[times.low_ns][1] += 1
        steps[times.high_ns + 1][1] -= 1
    found: list[tuple[TimeRange, bool]] = []
    in_files = in_memory = 0
    for start, end in pairwise([*sorted(steps), None]):
        if start is None or end is None:
            break
        in_files, in_memory = in_files + steps[start][0], in_memory + steps[start][1]
        if in_files + in_memory > 1:
            _add(found, TimeRange(start, end - 1), has_memory=in_memory > 0)
    return [_contest(times, files, has_memory=has_memory) for times, has_memory in found]


def times_between(bounds: TimeRange, taken: Iterable[TimeRange]) -> Iterator[TimeRange]:
    """Return what is left of a range without some others, which are disjoint and in order."""
    low_ns = bounds.low_ns
    for times in taken:
        if times.low_ns > low_ns and low_ns <= bounds.high_ns:
            yield TimeRange(low_ns, min(bounds.high_ns, times.low_ns - 1))
        low_ns = max(low_ns, times.high_ns + 1)
    if low_ns <= bounds.high_ns:
        yield TimeRange(low_ns, bounds.high_ns)


def slices(contest: Contest, max_rows: int) -> Iterator[Contest]:
    """Cut a contest in time so that a part has about a number of rows at most."""
    count = max(1, -(-contest.rows // max_rows))
    low, high = contest.times.low_ns, contest.times.high_ns
    cuts = sorted({low + (high + 1 - low) * n // count for n in range(1, count)} - {low})
    for start, end in pairwise([low, *cuts, high + 1]):
        times = TimeRange(start, end - 1)
        yield replace(contest, times=times, files=_within(contest.files, times))


def is_within(file: ParquetFile, times: TimeRange) -> bool:
    """Tell whether a file may have rows of some times."""
    return file.min_ns <= times.high_ns and file.max_ns >= times.low_ns


def _add(found: list[tuple[TimeRange, bool]], times: TimeRange, *, has_memory: bool) -> None:
    if found and found[-1] == (replace(found[-1][0], high_ns=times.low_ns - 1), has_memory):
        found[-1] = (found[-1][0].hull(times), has_memory)
    else:
        found.append((times, has_memory))


def _contest(times: TimeRange, files: Sequence[ParquetFile], *, has_memory: bool) -> Contest:
    return Contest(times, _within(files, times), has_memory)


def _within(files: Sequence[ParquetFile], times: TimeRange) -> tuple[ParquetFile, ...]:
    inside = [file for file in files if is_within(file, times)]
    return tuple(sorted(inside, key=lambda file: (file.order, file.min_ns)))


def _share(file: ParquetFile, times: TimeRange) -> int:
    low, high = max(file.min_ns, times.low_ns), min(file.max_ns, times.high_ns)
    span_ns = file.max_ns - file.min_ns + 1
    return -(-file.rows * max(0, high - low + 1) // span_ns)
