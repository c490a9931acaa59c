"""The rows of one table as queries see them: points are unique, batches are disjoint in time.

The view is a list of pieces ordered by time. The times of two pieces never touch, and inside a
piece every point stands once and times do not fall, so nothing has to be merged when a query runs,
and a reader that knows its time range may leave pieces out.

New rows are brought in when somebody asks. They are cut where pieces end and merged only with the
piece that they overlap, of which the parts before and after them stay as they are when large.
Rows that come in order therefore cost only themselves. Pieces end at about 64k rows, and small
neighbours are joined when the newer is not much smaller, so each row is copied a few times at most.

The pieces hold every column that rows came with. The schema of a reader may be older or newer than
the rows: alignment happens on the way out, and is kept when it loses no column.

Threads: `batches` may be called from any thread; `_lock` makes them take turns and guards every
field. Appending rows does not touch a view, so it never waits for a merge.
"""

from __future__ import annotations

import threading
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import pairwise

import pyarrow as pa

from engine.model.schema import TableSchema
from engine.storage.dedup import time_values
from engine.storage.pieces import PIECE_ROWS, Piece, unique_piece
from engine.storage.row_space import Chunk, rows_between
from engine.storage.union import joined

__all__ = ["MergedView"]

_CUT_ROWS = PIECE_ROWS // 8  # a part outside the overlap is set aside from this size on
_NEIGHBOUR_RATIO = 4
_SPARE_PIECES = 64


class MergedView:
    """The unique rows of one table, built as far as somebody has asked."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pieces: list[Piece] = []
        self._end = 0
        self._schema: TableSchema | None = None
        self._batches: tuple[pa.RecordBatch, ...] = ()

    def batches(
        self, chunks: Sequence[Chunk], end: int, schema: TableSchema
    ) -> tuple[pa.RecordBatch, ...]:
        """Return the view of at least the rows [0, end).

        Args:
            chunks: the table's rows as written, which hold at least that range.
            end: row number.
            schema: what the batches shall look like.

        Returns:
            Batches in order of time; the same tuple as long as nothing has changed.
        """
        with self._lock:
            if self._end < end:
                for run in _runs(rows_between(chunks, self._end, end)):
                    for part in self._by_piece(run):
                        self._insert(part)
                self._end = end
                self._schema = None
                self._join_fragments()
            if self._schema is not schema and self._schema != schema:
                self._align(schema)
            return self._batches

    def _by_piece(self, run: Piece) -> list[Piece]:
        """Cut a run at the ends of the pieces, so that far-off rows leave those between alone."""
        low = bisect_left(self._pieces, run.min_ns, key=lambda piece: piece.max_ns)
        high = bisect_right(self._pieces, run.max_ns, key=lambda piece: piece.min_ns)
        inner = self._pieces[low : max(low, high - 1)]  # the last takes what is beyond it as well
        cuts = [run.place_of(piece.max_ns, "right") for piece in inner]
        bounds = sorted({0, *cuts, int(run.rows.num_rows)})
        return [run.sliced(start, end) for start, end in pairwise(bounds)]

    def _insert(self, run: Piece) -> None:
        """Merge a piece of newer rows with the pieces that it overlaps."""
        low = bisect_left(self._pieces, run.min_ns, key=lambda piece: piece.max_ns)
        high = bisect_right(self._pieces, run.max_ns, key=lambda piece: piece.min_ns)
        if low == high:
            self._pieces[low:high] = run.split()
            self._join_left(low)
            return
        before, touched, after = _parted(self._pieces[low:high], run)
        merged = unique_piece(joined([*touched, run.rows]))
        self._pieces[low:high] = [*before, *merged.split(), *after]
        self._join_left(low + len(before))

    def _join_left(self, index: int) -> None:
        """Join a piece with its left neighbours as long as these are not much larger."""
        while index > 0:
            left, right = self._pieces[index - 1], self._pieces[index]
            is_much_larger = left.rows.num_rows > _NEIGHBOUR_RATIO * right.rows.num_rows
            if is_much_larger or left.rows.num_rows + right.rows.num_rows > PIECE_ROWS:
                return
            self._pieces[index - 1 : index + 1] = [_joined_pieces([left, right])]
            index -= 1

    def _join_fragments(self) -> None:
        """Join all small neighbours when rows out of order have left too many pieces."""
        total = sum(piece.rows.num_rows for piece in self._pieces)
        if len(self._pieces) <= 2 * (total // PIECE_ROWS) + _SPARE_PIECES:
            return
        groups: list[list[Piece]] = []
        count = 0
        for piece in self._pieces:
            count += piece.rows.num_rows
            if not groups or count > PIECE_ROWS:
                groups.append([])
                count = piece.rows.num_rows
            groups[-1].append(piece)
        self._pieces = [_joined_pieces(group) for group in groups]

    def _align(self, schema: TableSchema) -> None:
        arrow = schema.arrow
        names = set(arrow.names)
        shown = [piece.aligned_to(schema, arrow) for piece in self._pieces]
        self._pieces = [
            new if names.issuperset(old.rows.schema.names) else old
            for old, new in zip(self._pieces, shown, strict=True)
        ]
        self._batches = tuple(piece.rows for piece in shown)
        self._schema = schema


def _runs(slices: Sequence[pa.RecordBatch]) -> list[Piece]:
    """Gather new rows into few pieces that do not overlap each other, in order of time.

    Slices that follow one another in time stay apart, and so need no copy; a slice that reaches
    back is joined with all it reaches, in order of arrival.
    """
    runs: list[tuple[int, int, list[pa.RecordBatch]]] = []
    for rows in slices:
        time = time_values(rows)
        low, high, parts = int(time.min()), int(time.max()), [rows]
        while runs and runs[-1][1] >= low:
            before = runs.pop()
            low, high = min(low, before[0]), max(high, before[1])
            parts = [*before[2], *parts]
        runs.append((low, high, parts))
    return [unique_piece(joined(parts)) for _, _, parts in runs]


def _parted(
    pieces: Sequence[Piece], run: Piece
) -> tuple[list[Piece], list[pa.RecordBatch], list[Piece]]:
    """Set aside the large parts of the outer pieces that lie before and after a run."""
    before: list[Piece] = []
    after: list[Piece] = []
    touched = list(pieces)
    start = touched[0].place_of(run.min_ns, "left")
    if start >= _CUT_ROWS:
        before = [touched[0].sliced(0, start)]
        touched[0] = touched[0].sliced(start, touched[0].rows.num_rows)
    end, count = touched[-1].place_of(run.max_ns, "right"), touched[-1].rows.num_rows
    if count - end >= _CUT_ROWS:
        after = [touched[-1].sliced(end, count)]
        return before, [*(p.rows for p in touched[:-1]), touched[-1].rows.slice(0, end)], after
    return before, [piece.rows for piece in touched], after


def _joined_pieces(pieces: Sequence[Piece]) -> Piece:
    """Put neighbours together; they share no time, so nothing has to be merged."""
    if len(pieces) == 1:
        return pieces[0]
    rows = joined([piece.rows for piece in pieces])
    return Piece(rows, pieces[0].min_ns, pieces[-1].max_ns)
