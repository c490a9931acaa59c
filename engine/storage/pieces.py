"""Pieces: batches of unique points in order of time, each with its range of times.

Pure; may be called from any thread.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa

from engine.model.schema import TableSchema
from engine.storage.dedup import merge_duplicates, time_values
from engine.storage.union import aligned, tags_of

__all__ = ["PIECE_ROWS", "Piece", "unique_piece", "with_own_values"]

PIECE_ROWS = 65_536
_SPARE_VALUES = 1024


@dataclass(frozen=True, slots=True)
class Piece:
    """Unique points in order of time.

    Args:
        rows: at least one row; times do not fall.
        min_ns: the first time.
        max_ns: the last time.
        schema: the schema that the rows are aligned to, if they are.
    """

    rows: pa.RecordBatch
    min_ns: int
    max_ns: int
    schema: TableSchema | None = None

    def place_of(self, time_ns: int, side: Literal["left", "right"]) -> int:
        """Return the row at (`left`) or after (`right`) a time."""
        return int(np.searchsorted(time_values(self.rows), time_ns, side))

    def sliced(self, start: int, end: int) -> Piece:
        """Return the rows [start, end), of which there is at least one; copies nothing."""
        return _piece(self.rows.slice(start, end - start), self.schema)

    def aligned_to(self, schema: TableSchema, arrow: pa.Schema) -> Piece:
        """Return the piece with exactly the columns of a schema, whose Arrow form is given."""
        if self.schema is schema or self.schema == schema:
            return self
        return Piece(aligned(self.rows, arrow), self.min_ns, self.max_ns, schema)

    def split(self) -> list[Piece]:
        """Cut into pieces of about 64k rows, only where the time changes."""
        if self.rows.num_rows <= PIECE_ROWS:
            return [self]
        time = time_values(self.rows)
        wanted = time[PIECE_ROWS - 1 : -1 : PIECE_ROWS]
        cuts = np.unique(np.searchsorted(time, wanted, "right"))
        bounds = [0, *(int(cut) for cut in cuts if cut < len(time)), len(time)]
        return [self.sliced(a, b) for a, b in itertools.pairwise(bounds)]


def unique_piece(rows: pa.RecordBatch) -> Piece:
    """Merge the duplicates among rows, later ones winning, and bring them into order of time."""
    merged = merge_duplicates(rows, tags_of(rows))
    time = time_values(merged)
    if bool(np.any(time[1:] < time[:-1])):
        merged = merged.take(pa.array(np.argsort(time, kind="stable")))
    return _piece(merged)


def _piece(rows: pa.RecordBatch, schema: TableSchema | None = None) -> Piece:
    time = time_values(rows)
    return Piece(with_own_values(rows), int(time[0]), int(time[-1]), schema)


def with_own_values(rows: pa.RecordBatch) -> pa.RecordBatch:
    """Leave out tag values that no row has, when they are most of a dictionary.

    Pieces are cut and joined again and again; with a tag of its own for each row, every piece would
    end up with the values of all, and each merge would cost as much as the whole table.
    """
    for tag in tags_of(rows):
        column = rows.column(tag)
        if len(column.dictionary) > 2 * rows.num_rows + _SPARE_VALUES:
            place = rows.schema.get_field_index(tag)
            rows = rows.set_column(place, rows.schema.field(place), _compacted(column))
    return rows


def _compacted(column: pa.DictionaryArray) -> pa.DictionaryArray:
    is_null = ~column.indices.is_valid().to_numpy(zero_copy_only=False)
    used, codes = np.unique(column.indices.fill_null(0).to_numpy(), return_inverse=True)
    indices = pa.array(codes.astype(np.int32), mask=is_null)
    return pa.DictionaryArray.from_arrays(indices, column.dictionary.take(pa.array(used)))
