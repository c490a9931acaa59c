"""Which times the rows in memory cover, seen closely where it pays.

A few late rows may lie far apart; if they covered all times between them, everything in the files
of those times would have to be merged. So rows are parted at their widest gaps.

Pure; may be called from any thread.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pyarrow as pa

from engine.model.file import ParquetFile
from engine.query.contest import is_within
from engine.query.time_range import TimeRange
from engine.storage.dedup import time_values

__all__ = ["covered_times", "times_of"]

_MAX_PARTS = 64  # of all batches together: each is a condition on the rows of the files


def covered_times(
    batches: Sequence[pa.RecordBatch], files: Sequence[ParquetFile]
) -> list[TimeRange]:
    """Return the times that batches cover, in parts where files have rows of the same times.

    Args:
        batches: with at least a row each, ordered by time, disjoint.
        files: of the same table.
    """
    whole = [times_of(batch) for batch in batches]
    met = [any(is_within(file, times) for file in files) for times in whole]
    parts = max(1, _MAX_PARTS // max(1, sum(met)))
    found: list[TimeRange] = []
    for batch, times, is_met in zip(batches, whole, met, strict=True):
        found += _parted(batch, parts) if is_met else [times]
    return found


def times_of(batch: pa.RecordBatch) -> TimeRange:
    """Return the first and the last time of a batch that is ordered by time."""
    time = time_values(batch)
    return TimeRange(int(time[0]), int(time[-1]))


def _parted(batch: pa.RecordBatch, parts: int) -> list[TimeRange]:
    time = time_values(batch)
    gaps = np.diff(time)
    count = min(parts - 1, len(gaps))
    rest = len(gaps) - count
    widest = np.argpartition(gaps, rest)[rest:] if count else np.arange(0)
    bounds = [0, *sorted(int(gap) + 1 for gap in widest if gaps[gap] > 1), len(time)]
    return [TimeRange(int(time[a]), int(time[b - 1])) for a, b in pairwise(bounds)]
