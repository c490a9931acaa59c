"""Merge of duplicate points: rows of equal series and time become one row.

A series is the full set of tag values; a missing tag is a value of its own. Of the rows of one
point, each field takes its last value that is not null, in the order of the rows.

The plan: a cheap look at the times ends most calls. Otherwise the tags become one integer per row,
a stable sort brings the rows of a point together in order, and for every field the last non-null
row of each group is found with a running maximum. No step handles single values in Python.

Pure; may be called from any thread.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from engine.model.schema import TIME

__all__ = ["merge_duplicates", "sorted_points", "time_values"]

_Integers = npt.NDArray[np.int64]
_MAX_SERIES = 2**31  # ids below this leave room to combine with the next tag without overflow


def merge_duplicates(rows: pa.RecordBatch | pa.Table, tags: Sequence[str]) -> pa.RecordBatch:
    """Merge the rows that have the same tags and the same time.

    Args:
        rows: with a `time` column of timestamp[ns] without nulls; later rows win.
        tags: the columns of the series key; `dictionary<int32, utf8>`. Those that `rows` does not
            have are ignored.

    Returns:
        The very same object when no point occurs twice. Otherwise a value of the same kind, in
        which each point stands where its last row stood.
    """
    time = time_values(rows)
    if rows.num_rows < 2 or bool(np.all(time[1:] > time[:-1])):  # noqa: PLR2004 (a pair)
        return rows
    series = _series_ids(rows, tags)
    order = np.lexsort((time, series))
    is_first = np.empty(len(order), dtype=np.bool_)
    is_first[0] = True
    is_first[1:] = (np.diff(time[order]) != 0) | (np.diff(series[order]) != 0)
    if bool(is_first.all()):
        return rows
    return _merged(rows, tags, order, is_first)


def sorted_points(rows: pa.RecordBatch, tags: Sequence[str]) -> pa.RecordBatch:
    """Bring unique points into the order of files: by the tags' values, then by time.

    Args:
        rows: as `merge_duplicates` returns them.
        tags: the series key; the first counts most, a missing value comes first.
    """
    order = np.lexsort((time_values(rows), _series_ids(rows, tags, is_ranked=True)))
    if bool(np.all(order[1:] > order[:-1])):
        return rows
    return rows.take(pa.array(order))


def time_values(rows: pa.RecordBatch | pa.Table) -> _Integers:
    """Return the `time` column as int64 nanoseconds, without a copy when it is one array."""
    column = rows.column(TIME)
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    return cast("_Integers", column.view(pa.int64()).to_numpy(zero_copy_only=True))


def _merged(
    rows: pa.RecordBatch | pa.Table,
    tags: Sequence[str],
    order: _Integers,
    is_first: npt.NDArray[np.bool_],
) -> pa.RecordBatch | pa.Table:
    starts = np.flatnonzero(is_first)
    ends = np.append(starts[1:], len(order)) - 1
    stand = np.argsort(order[ends])  # back to the order in which the rows came
    starts, ends = starts[stand], ends[stand]
    last = pa.array(order[ends])
    keys = {*tags, TIME}
    columns = []
    for name, column in zip(rows.schema.names, rows.columns, strict=True):
        array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
        if name in keys or array.null_count == 0:
            columns.append(array.take(last))
        else:
            columns.append(array.take(_last_valid(array, order, starts, ends)))
    return type(rows).from_arrays(columns, schema=rows.schema)


def _last_valid(array: pa.Array, order: _Integers, starts: _Integers, ends: _Integers) -> pa.Array:
    """For each group, which row to take; a group of nulls gives its last row, a null."""
    valid = array.is_valid().to_numpy(zero_copy_only=False)[order]
    latest = np.maximum.accumulate(np.where(valid, np.arange(len(order)), -1))[ends]
    return pa.array(order[np.where(latest >= starts, latest, ends)])


def _series_ids(
    rows: pa.RecordBatch | pa.Table, tags: Sequence[str], *, is_ranked: bool = False
) -> _Integers:
    """Number the distinct combinations of tag values, one number per row; ranked: by value."""
    ids = np.zeros(rows.num_rows, dtype=np.int64)
    count = 1
    for tag in tags:
        if rows.schema.get_field_index(tag) < 0:
            continue
        codes, distinct = _codes(rows.column(tag), is_ranked=is_ranked)
        ids, count = ids * distinct + codes, count * distinct
        if count > _MAX_SERIES:
            found, ids = np.unique(ids, return_inverse=True)
            count = len(found)
    return ids


def _codes(column: pa.Array | pa.ChunkedArray, *, is_ranked: bool) -> tuple[_Integers, int]:
    """Return a code per row, 0 for null, and the number of codes."""
    if isinstance(column, pa.ChunkedArray):
        column = column.unify_dictionaries().combine_chunks()
    # Concatenation may leave a value twice in a dictionary, or a null among its values.
    distinct = column.dictionary.dictionary_encode()
    lookup = distinct.indices.fill_null(-1).to_numpy().astype(np.int64) + 1
    if is_ranked:
        rank = np.empty(len(distinct.dictionary) + 1, dtype=np.int64)
        rank[0] = 0
        rank[1 + pc.sort_indices(distinct.dictionary).to_numpy()] = np.arange(1, len(rank))
        lookup = rank[lookup]
    lookup = np.append(lookup, 0)  # the last place stands for a null index
    indices = column.indices.fill_null(len(lookup) - 1).to_numpy()
    return lookup[indices], len(distinct.dictionary) + 1
