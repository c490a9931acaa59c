"""How much of a table stays in memory: bounds for tables that only ever grow.

Whole chunks are let go, the oldest first, so a table may have some ten thousand rows more than its
bound says. Pure but for the clock behind `Bound.oldest_ns`; any thread may call.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from engine.storage.dedup import time_values
from engine.storage.row_space import Chunk

__all__ = ["Bound", "surplus_chunks"]


@dataclass(frozen=True, slots=True)
class Bound:
    """What may be let go.

    Args:
        oldest_ns: returns the time below which rows are not wanted, UTC nanoseconds, or None.
        keep_rows: number of rows beyond which the oldest are not wanted either.
    """

    oldest_ns: Callable[[], int | None]
    keep_rows: int | None = None


def surplus_chunks(chunks: Sequence[Chunk], bound: Bound) -> int:
    """Return how many of the first chunks hold no row that is wanted."""
    if not chunks:
        return 0
    oldest_ns = bound.oldest_ns()
    for count, chunk in enumerate(chunks):
        rows_behind = chunks[-1].end - chunk.end
        is_surplus = bound.keep_rows is not None and rows_behind >= bound.keep_rows
        if not is_surplus and not _is_older(chunk, oldest_ns):
            return count
    return len(chunks)


def _is_older(chunk: Chunk, oldest_ns: int | None) -> bool:
    return oldest_ns is not None and int(time_values(chunk.rows).max()) < oldest_ns
