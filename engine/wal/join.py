"""Which rows of a record stand together: its blocks. Pure; any thread.

The rows of all entries of a table stand one after the other in one block. When entries have
different columns, the block has the columns of all of them, tags first, then fields, each in order
of first appearance, then `time`, with nulls where an entry has no such column; the entry's range
names the columns that it really has.

Where a large block would be mostly nulls, as when many clients each write a column of their own, a
table has one block for each set of columns instead. A large batch has a block of its own: it is
not copied, and its stream can be made before its record is begun.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import pyarrow as pa

from engine.errors import InvalidEntry
from engine.model.entry import CheckpointEntry, Entry, TableRows
from engine.model.schema import TIME, ColumnType
from engine.wal.entries import RowRange

__all__ = ["Block", "is_large", "join_rows"]

# Database, table, and what sets it apart: columns, or the number of a large batch.
_Place: TypeAlias = tuple[int, int, tuple[str, ...] | int]

# A block of more values than this may not consist mostly of the nulls of absent columns.
_DENSE_VALUES = 2 * 2**20
_LARGE_VALUES = 32 * 1024
_MAX_COLUMNS = 512  # of a table, roughly


@dataclass(frozen=True, slots=True)
class Block:
    """The rows of one table in one record."""

    database_id: int
    table_id: int
    rows: pa.RecordBatch


def join_rows(entries: Sequence[Entry]) -> tuple[list[Block], list[list[RowRange]]]:
    """Gather the rows of entries by table.

    Returns:
        The blocks in order of first appearance, and for each entry its ranges.

    Raises:
        InvalidEntry: a column has different types in two entries of one block.
    """
    small = [t for entry in entries for t in _tables(entry) if not is_large(t.rows)]
    sparse = _sparse_tables(small)
    piles: dict[_Place, _Pile] = {}
    places = [[_put(piles, table, sparse) for table in _tables(entry)] for entry in entries]
    blocks = []
    columns = []
    for (database_id, table_id, _), pile in piles.items():
        rows, chosen = _concatenate(pile.parts)
        blocks.append(Block(database_id, table_id, rows))
        columns.append(chosen)
    return blocks, [
        [_row_range(pile, part, columns[pile.index][part]) for pile, part in placed]
        for placed in places
    ]


def is_large(rows: pa.RecordBatch) -> bool:
    """Whether a batch has a block of its own."""
    values: int = rows.num_rows * rows.num_columns
    return values >= _LARGE_VALUES


def _tables(entry: Entry) -> tuple[TableRows, ...]:
    return () if isinstance(entry, CheckpointEntry) else entry.tables


@dataclass(slots=True)
class _Pile:
    """The rows of one table while they are gathered; `starts` has one more than `parts`."""

    index: int
    parts: list[pa.RecordBatch]
    starts: list[int]


def _sparse_tables(tables: Sequence[TableRows]) -> frozenset[int]:
    """Return the tables whose rows, put together, would be large and mostly nulls."""
    if sum(table.rows.num_rows for table in tables) * _MAX_COLUMNS < _DENSE_VALUES:
        return frozenset()
    rows, values, names = Counter[int](), Counter[int](), defaultdict[int, set[str]](set)
    for table in tables:
        rows[table.table_id] += table.rows.num_rows
        values[table.table_id] += table.rows.num_rows * table.rows.num_columns
        names[table.table_id].update(table.rows.schema.names)
    together = {table_id: count * len(names[table_id]) for table_id, count in rows.items()}
    return frozenset(t for t, n in together.items() if n > max(2 * values[t], _DENSE_VALUES))


def _put(piles: dict[_Place, _Pile], table: TableRows, sparse: frozenset[int]) -> tuple[_Pile, int]:
    apart: tuple[str, ...] | int = ()
    if is_large(table.rows):
        apart = len(piles)
    elif table.table_id in sparse:
        apart = tuple(table.rows.schema.names)
    place = (table.database_id, table.table_id, apart)
    pile = piles.setdefault(place, _Pile(len(piles), [], [0]))
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
    return 0 if kind == ColumnType.TAG.arrow else 1


def _aligned(part: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    names = set(part.schema.names)
    columns = [
        part.column(field.name) if field.name in names else pa.nulls(part.num_rows, field.type)
        for field in schema
    ]
    return pa.RecordBatch.from_arrays(columns, schema=schema)
