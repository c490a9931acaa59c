"""Parquet files as the catalog knows them. Pure; any thread."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["ParquetFile"]


@dataclass(frozen=True, slots=True)
class ParquetFile:
    """One immutable file with unique points of one table.

    Args:
        path: below the node's folder, with forward slashes.
        rows: number of rows, at least one.
        size_bytes: of the file.
        crc32c: of the whole file.
        min_ns: time of the oldest row, UTC nanoseconds.
        max_ns: time of the newest row.
        order: age of its rows: of two rows of one point, the one in the file with the higher
            order was written later, and rows in memory later than any in files. Files of one
            table may share an order when their times do not overlap.
    """

    path: str
    rows: int
    size_bytes: int
    crc32c: int
    min_ns: int
    max_ns: int
    order: int
