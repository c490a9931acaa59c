"""The rows of a record: one Arrow IPC stream per table. Pure; any thread.

A stream holds a schema, the dictionaries of its tag columns and exactly one record batch, with
uncompressed buffers, and the mark for its end; its length is a multiple of 8. The rows of all
entries of a table stand one after the other in that batch. When entries have different columns,
the batch has the columns of all of them, tags first, then fields, each in order of first
appearance, then `time`, with nulls where an entry has no such column; the entry's range names the
columns that it really has. Whether a column is declared nullable, and a schema's metadata, need
not survive.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias, assert_never

import pyarrow as pa

from engine.errors import DamagedRecord, InvalidEntry
from engine.model.entry import CheckpointEntry, Entry, RunEntry, TableRows, WriteEntry
from engine.model.schema import TIME, ColumnType
from engine.wal.entries import BlockName, Head, RowRange

__all__ = ["Block", "Buffer", "check_rows", "join_rows", "open_stream", "with_rows", "write_stream"]

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


@dataclass(frozen=True, slots=True)
class Block:
    """The rows of one table in one record."""

    database_id: int
    table_id: int
    rows: pa.RecordBatch


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


def join_rows(entries: Sequence[Entry]) -> tuple[list[Block], list[list[RowRange]]]:
    """Gather the rows of entries by table.

    Returns:
        The blocks in order of first appearance, and for each entry its ranges.

    Raises:
        InvalidEntry: a column has different types in two entries.
    """
    piles: dict[tuple[int, int], _Pile] = {}
    places = [[_put(piles, table) for table in _tables(entry)] for entry in entries]
    blocks = []
    columns = []
    for (database_id, table_id), pile in piles.items():
        rows, chosen = _concatenate(pile.parts)
        blocks.append(Block(database_id, table_id, rows))
        columns.append(chosen)
    return blocks, [
        [_row_range(pile, part, columns[pile.index][part]) for pile, part in placed]
        for placed in places
    ]


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


def with_rows(head: Head, batches: Sequence[pa.RecordBatch]) -> list[Entry]:
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


def _tables(entry: Entry) -> tuple[TableRows, ...]:
    return () if isinstance(entry, CheckpointEntry) else entry.tables


@dataclass(slots=True)
class _Pile:
    """The rows of one table while they are gathered; `starts` has one more than `parts`."""

    index: int
    parts: list[pa.RecordBatch]
    starts: list[int]


def _put(piles: dict[tuple[int, int], _Pile], table: TableRows) -> tuple[_Pile, int]:
    pile = piles.setdefault((table.database_id, table.table_id), _Pile(len(piles), [], [0]))
    pile.parts.append(table.rows)
    pile.starts.append(pile.starts[-1] + table.rows.num_rows)
    return pile, len(pile.parts) - 1


def _row_range(pile: _Pile, part: int, columns: tuple[int, ...] | None) -> RowRange:
    return RowRange(pile.index, pile.starts[part], pile.starts[part + 1], columns)


def _concatenate(
    parts: Sequence[pa.RecordBatch],
) -> tuple[pa.RecordBatch, list[tuple[int, ...] | None]]:
    """Return the parts as one batch, and for each part which columns it has."""
    schema = parts[0].schema
    if len(parts) == 1:
        return parts[0], [None]
    if all(part.schema.equals(schema) for part in parts):
        return pa.concat_batches(parts), [None] * len(parts)
    union = _union(parts)
    index = {name: number for number, name in enumerate(union.names)}
    everything = tuple(range(len(index)))
    chosen = [tuple(index[name] for name in part.schema.names) for part in parts]
    rows = pa.concat_batches([_aligned(part, union) for part in parts])
    return rows, [None if columns == everything else columns for columns in chosen]


def _union(parts: Sequence[pa.RecordBatch]) -> pa.Schema:
    types: dict[str, pa.DataType] = {}
    for part in parts:
        for field in part.schema:
            if types.setdefault(field.name, field.type) != field.type:
                raise InvalidEntry(
                    f"column {field.name!r} is {types[field.name]} in one entry of a table and "
                    f"{field.type} in another"
                )
    return pa.schema(sorted(types.items(), key=_rank))


def _rank(column: tuple[str, pa.DataType]) -> int:
    name, kind = column
    if name == TIME:
        return 2
    return 0 if kind == _TAG else 1


def _aligned(part: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    names = set(part.schema.names)
    columns = [
        part.column(field.name) if field.name in names else pa.nulls(part.num_rows, field.type)
        for field in schema
    ]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


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
