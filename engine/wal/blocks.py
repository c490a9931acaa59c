"""The rows of a record as Arrow IPC streams, one per block. Pure; any thread.

A stream holds a schema, the dictionaries of its tag columns and exactly one record batch, with
uncompressed buffers, and the mark for its end; its length is a multiple of 8. Which rows a block
has is decided in `join`. Whether a column is declared nullable, and a schema's metadata, need not
survive.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeAlias, assert_never

import pyarrow as pa

from engine.errors import DamagedRecord
from engine.model.entry import CheckpointEntry, Entry, RunEntry, TableRows, WriteEntry
from engine.model.schema import TIME, ColumnType
from engine.wal.entries import BlockName, RecordHead, RowRange

__all__ = ["Buffer", "check_rows", "open_stream", "with_rows", "write_stream"]

Buffer: TypeAlias = bytes | pa.Buffer

_OPTIONS = pa.ipc.IpcWriteOptions(compression=None, use_threads=False)
_TAG = ColumnType.TAG.arrow
_TIME = ColumnType.TIME.arrow
_COLUMN_TYPES = tuple(kind.arrow for kind in ColumnType if kind is not ColumnType.TIME)
_STREAM_END = b"\xff\xff\xff\xff\0\0\0\0"
# Below this many values, one copy into a single buffer is cheaper than many parts.
_COPIED_VALUES = 32 * 1024
# Parts below this are joined: each one costs the checksum and the write a call.
_JOINED_BYTES = 4096


def check_rows(rows: pa.RecordBatch) -> None:
    """Check that a batch is laid out as `TableRows` says and that its memory is sound.

    Raises:
        ValueError: it is not; Arrow's own errors are of this type.
    """
    schema = rows.schema
    if len(set(schema.names)) != len(schema.names):
        raise ValueError("two columns have one name")
    if not schema.names or schema.names[-1] != TIME or schema.types[-1] != _TIME:
        raise ValueError("the last column is not a time in nanoseconds")
    for field in list(schema)[:-1]:
        if field.type not in _COLUMN_TYPES:
            raise ValueError(f"column {field.name!r} has no type of a tag or field: {field.type}")
    rows.validate(full=True)
    if rows.column(rows.num_columns - 1).null_count:
        raise ValueError("a row has no time")


def write_stream(rows: pa.RecordBatch) -> list[Buffer]:
    """Return a batch as an Arrow IPC stream in parts; large columns are referred to, not copied."""
    if rows.num_rows * rows.num_columns < _COPIED_VALUES:
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, rows.schema, options=_OPTIONS) as writer:
            writer.write_batch(rows)
        return [sink.getvalue()]
    parts = _Parts()
    file = pa.PythonFile(parts, mode="w")
    with pa.ipc.new_stream(file, rows.schema, options=_OPTIONS) as writer:
        writer.write_batch(rows)
    return parts.all()


def open_stream(data: memoryview) -> pa.RecordBatch:
    """Return the one batch of a stream that fills `data`; it refers to that memory.

    Raises:
        DamagedRecord: anything else.
    """
    source = pa.BufferReader(pa.py_buffer(data))
    try:
        with pa.ipc.open_stream(source) as reader:
            rows = reader.read_next_batch()
            check_rows(rows)
            is_only = next(reader, None) is None
    except (pa.ArrowException, OSError, ValueError, StopIteration) as error:
        raise DamagedRecord(f"a block is not an Arrow stream of rows: {error}") from error
    if not is_only or source.tell() != len(data) or data[-len(_STREAM_END) :] != _STREAM_END:
        raise DamagedRecord("a block does not end after its rows")
    return rows


def with_rows(head: RecordHead, batches: Sequence[pa.RecordBatch]) -> list[Entry]:
    """Give the entries of a head their rows.

    Raises:
        DamagedRecord: ranges that do not cover the batches exactly and in order.
    """
    covered = [0] * len(batches)
    entries: list[Entry] = []
    for entry, ranges in head.entries:
        tables = tuple(_table(row_range, head.blocks, batches, covered) for row_range in ranges)
        entries.append(_with_tables(entry, tables))
    if covered != [batch.num_rows for batch in batches]:
        raise DamagedRecord("rows of a block belong to no entry")
    return entries


class _Parts:
    """A file for Arrow that keeps what is written to it: large buffers as they are."""

    closed = False

    def __init__(self) -> None:
        self._large: list[Buffer] = []
        self._small: list[Buffer] = []

    def write(self, buffer: Buffer) -> int:
        if len(buffer) < _JOINED_BYTES:
            self._small.append(buffer)
        else:
            self._join()
            self._large.append(buffer)
        return len(buffer)

    def all(self) -> list[Buffer]:
        self._join()
        return self._large

    def _join(self) -> None:
        if self._small:
            self._large.append(b"".join(self._small))
            self._small = []

    def flush(self) -> None:
        """Nothing is held back."""

    def close(self) -> None:
        """Nothing is open."""


def _table(
    row_range: RowRange,
    names: Sequence[BlockName],
    batches: Sequence[pa.RecordBatch],
    covered: list[int],
) -> TableRows:
    block, start, stop = row_range.block, row_range.start, row_range.stop
    if block >= len(batches):
        raise DamagedRecord(f"a range names block {block} of {len(batches)}")
    rows = batches[block]
    if start != covered[block] or not start <= stop <= rows.num_rows:
        raise DamagedRecord(f"rows {start} to {stop} do not follow row {covered[block]}")
    covered[block] = stop
    if stop - start != rows.num_rows:
        rows = rows.slice(start, stop - start)
    if row_range.columns is not None:
        rows = _selected(rows, row_range.columns)
    return TableRows(names[block].database_id, names[block].table_id, rows)


def _selected(rows: pa.RecordBatch, columns: tuple[int, ...]) -> pa.RecordBatch:
    last = rows.num_columns - 1
    if not columns or columns[-1] != last or max(columns) > last:
        raise DamagedRecord("a range's columns do not end with the time")
    if len(set(columns)) != len(columns):
        raise DamagedRecord("a range names a column twice")
    return rows.select(columns)


def _with_tables(entry: Entry, tables: tuple[TableRows, ...]) -> Entry:
    match entry:
        case WriteEntry() | RunEntry():
            return replace(entry, tables=tables)
        case CheckpointEntry():
            return entry
        case _:
            assert_never(entry)
