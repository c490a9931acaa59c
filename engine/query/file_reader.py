"""What one query reads from files: arms of a union where nothing is contested, merged rows else.

Where only one file has rows of a time, DataFusion reads it itself, with its filters and only the
columns that it needs. Contested times are read here from every source, merged, and given as rows;
the file itself is then read without those times. Of merged rows, columns that the query does not
read are null.

Threads: one, the query's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import reduce
from pathlib import Path

import pyarrow as pa
from datafusion import DataFrame, SessionContext, col, lit
from datafusion.expr import Expr

from engine.errors import QueryTooLarge
from engine.model.file import ParquetFile
from engine.model.schema import TIME
from engine.query.contest import Contest, contests, is_within, slices, times_between
from engine.query.failures import running_failure
from engine.query.memory_times import covered_times, times_of
from engine.query.pruning import Scan, rows_within
from engine.query.shelf import Shelf
from engine.query.snapshot import TableSnapshot
from engine.query.time_range import TimeRange
from engine.storage.pieces import unique_piece
from engine.storage.union import aligned, joined, without_empty_columns

__all__ = ["FileReader", "within"]

_SLICE_ROWS = 500_000
_SLICE_CELLS = 8_000_000
_KEPT_ROWS = 500_000


class FileReader:
    """Reads files for one query.

    Args:
        shelf: shared with other queries.
        max_merged_bytes: of contested rows that the query needs.
    """

    def __init__(self, shelf: Shelf, max_merged_bytes: int) -> None:
        self._shelf = shelf
        self._left_bytes = self._max_bytes = max_merged_bytes
        self._read: dict[tuple[str, str], ParquetFile] = {}

    @property
    def files(self) -> int:
        """How many files the query has read."""
        return len(self._read)

    def check(self) -> None:
        """Look whether the files that were read are what was written, after something has failed.

        Raises:
            DamagedFile: one is not.
        """
        for (root, _), file in self._read.items():
            self._shelf.check_again(root, file)

    def frame(self, context: SessionContext, table: TableSnapshot, scan: Scan) -> DataFrame:
        """Return the rows of a table with files as a frame of a session.

        Args:
            context: the session.
            table: its rows in memory are wanted and seen, its files have such rows.
            scan: what of them is read; the rest may be left out.

        Raises:
            DamagedFile: a file is not what was written.
            QueryTooLarge: too many rows are contested.
        """
        for file in table.files:
            self._shelf.check(table.root, file)
            self._read[table.root, file.path] = file
        found = contests(table.files, covered_times(table.batches, table.files))
        wanted = scan.times & _seen(table)
        arms = list(_arms(context, table, found))
        batches = list(_uncontested(table.batches, found))
        narrow = _narrowed(table, scan.columns)
        for contest in found:
            if (contest.times & wanted).is_possible:
                merged = rows_within(self._merged(context, narrow, contest, wanted), wanted)
                batches += (aligned(rows, table.schema) for rows in merged)
        if batches or not arms:
            arms.append(context.read_batches(batches or [_empty(table.schema)]))
        return reduce(DataFrame.union, arms)

    def _merged(
        self, context: SessionContext, table: TableSnapshot, contest: Contest, wanted: TimeRange
    ) -> list[pa.RecordBatch]:
        names = tuple(table.schema.names)
        part = replace(contest, times=contest.times & wanted)
        if contest.has_memory or contest.rows > _KEPT_ROWS:
            return self._merge(context, table, part)
        times, paths = contest.times, tuple(file.path for file in contest.files)
        key = (table.root, paths, times.low_ns, times.high_ns, names)
        kept = self._shelf.merged(key)
        if kept is not None:
            return [kept] if kept.num_rows else []
        left_bytes = self._left_bytes
        try:
            parts = self._merge(context, table, contest)
        except QueryTooLarge:
            self._left_bytes = left_bytes  # that was more than is asked for
            return self._merge(context, table, part)
        self._shelf.keep(key, _one(parts, table.schema))
        return parts

    def _merge(
        self, context: SessionContext, table: TableSnapshot, contest: Contest
    ) -> list[pa.RecordBatch]:
        """Merge a contest slice by slice, so that little more than the result is in memory."""
        merged = []
        max_rows = max(1, min(_SLICE_ROWS, _SLICE_CELLS // len(table.schema)))
        for part in slices(contest, max_rows):
            rows = list(self._within_limit(_rows(context, table, part)))
            if rows:
                piece = aligned(unique_piece(joined(rows)).rows, table.schema)
                self._left_bytes -= piece.nbytes
                merged.append(piece)
        return merged

    def _within_limit(self, parts: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Pass on the rows of a slice as long as they fit what is left, before they are merged."""
        left_bytes = self._left_bytes
        for rows in parts:
            left_bytes -= sum(_own_bytes(column) for column in rows.columns)
            if left_bytes < 0:
                raise QueryTooLarge(
                    f"more than {self._max_bytes} bytes of rows of the same times are in several "
                    "files; they are merged in the background, so ask later, for a shorter time "
                    "range or for fewer columns"
                )
            yield rows


def within(times: TimeRange) -> Expr:
    """Return the condition that a row's time is in a range."""
    low, high = _moment(times.low_ns), _moment(times.high_ns)
    return (col(TIME) >= lit(low)) & (col(TIME) <= lit(high))


def _seen(table: TableSnapshot) -> TimeRange:
    return TimeRange() if table.oldest_ns is None else TimeRange(low_ns=table.oldest_ns)


def _arms(
    context: SessionContext, table: TableSnapshot, found: Sequence[Contest]
) -> Iterator[DataFrame]:
    """Return what each file alone has rows for."""
    for file in table.files:
        whole = TimeRange(file.min_ns, file.max_ns)
        taken = [contest.times for contest in found if is_within(file, contest.times)]
        left = list(times_between(whole & _seen(table), taken))
        if left == [whole]:
            yield _scan(context, table, file)
        elif left:
            is_left = reduce(Expr.__or__, [within(times) for times in left])
            yield _scan(context, table, file).filter(is_left)


def _uncontested(
    batches: Sequence[pa.RecordBatch], found: Sequence[Contest]
) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        whole = times_of(batch)
        taken = [c.times for c in found if c.has_memory and (c.times & whole).is_possible]
        for times in times_between(whole, taken):
            yield from rows_within([batch], times)


def _rows(
    context: SessionContext, table: TableSnapshot, contest: Contest
) -> Iterator[pa.RecordBatch]:
    """Return the rows of a contest from all sources, the newest last."""
    for file in contest.files:
        frame = _scan(context, table, file).filter(within(contest.times))
        yield from (without_empty_columns(rows) for rows in _run(frame) if rows.num_rows)
    if contest.has_memory:
        yield from rows_within(table.batches, contest.times)


def _run(frame: DataFrame) -> Iterator[pa.RecordBatch]:
    stream = iter(frame.execute_stream())
    while True:
        try:
            rows = next(stream, None)
        except Exception as error:
            raise running_failure(error) from error
        if rows is None:
            return
        yield rows.to_pyarrow()


def _narrowed(table: TableSnapshot, columns: frozenset[str] | None) -> TableSnapshot:
    """Keep the columns that are read, and those that tell which rows are one point."""
    if columns is None:
        return table
    kept = {TIME, *columns}
    schema = pa.schema(
        [f for f in table.schema if f.name in kept or pa.types.is_dictionary(f.type)]
    )
    batches = tuple(rows.select(schema.names) for rows in table.batches)
    return replace(table, schema=schema, batches=batches)


def _own_bytes(column: pa.Array) -> int:
    """Return the bytes of a column without the values of its tags, which batches share."""
    is_tag = pa.types.is_dictionary(column.type)
    return int((column.indices if is_tag else column).nbytes)


def _scan(context: SessionContext, table: TableSnapshot, file: ParquetFile) -> DataFrame:
    # As a path, signs that mean something in patterns would be taken for one.
    address = Path(table.root, file.path).absolute().as_uri()
    return context.read_parquet(address, schema=table.schema)


def _one(parts: Sequence[pa.RecordBatch], schema: pa.Schema) -> pa.RecordBatch:
    return aligned(joined(parts), schema) if parts else _empty(schema)


def _empty(schema: pa.Schema) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([pa.nulls(0, f.type) for f in schema], schema=schema)


def _moment(time_ns: int) -> pa.Scalar:
    return pa.scalar(time_ns, pa.timestamp("ns"))
