"""Rows of one table by columns, and how they stand inside a message.

A `Block` holds rows of one table by columns. Each column is one of these kinds:

    kind  data                                   extra
    q     int64, 8 bytes each                    -
    Q     uint64, 8 bytes each                   -
    d     float64, 8 bytes each                  -
    ?     bool, 1 byte each                      -
    s     UTF-8 of all values, joined            int32 offsets, rows + 1, from 0
    D     int32 codes                            the values: int32 count, then as extra and data
                                                 of s: int32 offsets, count + 1, then UTF-8
    n     -                                      -  (every row is null)
    o     msgpack list of values                 -

Numbers are little-endian. `nulls` holds the int32 positions of rows without a value, in order;
what `data` holds there is valid but means nothing.

On the wire a block is table, rows, number of columns, then five fields for each column. They
stand flat between the other fields of the message, so that the buffers of the columns are copied
once. Reading checks their sizes only, so that it costs nothing per value.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from worker.wire.faults import RemoteWireError
from worker.wire.limits import LIMITS

__all__ = ["Block", "BlockColumn", "read_blocks", "write_blocks"]

_HEAD = 3
_PER_COLUMN = 5
_WIDTHS = {"q": 8, "Q": 8, "d": 8, "?": 1, "D": 4}
_INT32 = struct.Struct("<i")


@dataclass(frozen=True, slots=True)
class BlockColumn:
    """One column; its kind says what the buffers hold, see the head of this module."""

    name: str
    kind: str
    data: bytes
    extra: bytes = b""
    nulls: bytes = b""


@dataclass(frozen=True, slots=True)
class Block:
    """Rows of one table; a query's result has the table name ""."""

    table: str
    rows: int
    columns: tuple[BlockColumn, ...]


def write_blocks(blocks: Iterable[Block]) -> list[Any]:
    """List the fields of blocks."""
    items: list[Any] = []
    for block in blocks:
        items += (block.table, block.rows, len(block.columns))
        for column in block.columns:
            items += (column.name, column.kind, column.data, column.extra, column.nulls)
    return items


def read_blocks(items: list[Any]) -> tuple[Block, ...]:
    """Read blocks from all of the given fields.

    Raises:
        RemoteWireError: they are no blocks, or a buffer's size does not fit its rows.
    """
    blocks = []
    start = 0
    while start < len(items):
        head = items[start : start + _HEAD]
        table, rows, count = _check_head(head)
        first = start + _HEAD
        start = first + count * _PER_COLUMN
        if start > len(items):
            raise RemoteWireError("a block has fewer columns than it says")
        columns = [
            _read_column(items[field : field + _PER_COLUMN], rows)
            for field in range(first, start, _PER_COLUMN)
        ]
        blocks.append(Block(table, rows, tuple(columns)))
    return tuple(blocks)


def _check_head(head: list[Any]) -> tuple[str, int, int]:
    if [type(item) for item in head] != [str, int, int]:
        raise RemoteWireError("the head of a block is a text and two numbers")
    table, rows, count = head
    if not 0 <= rows <= LIMITS.message_bytes or not 0 <= count <= LIMITS.columns:
        raise RemoteWireError(f"a block of {rows} rows and {count} columns")
    return table, rows, count


def _read_column(items: list[Any], rows: int) -> BlockColumn:
    name, kind, data, extra, nulls = items
    if type(name) is not str or type(kind) is not str:
        raise RemoteWireError("name and kind of a column are text")
    if not type(data) is type(extra) is type(nulls) is bytes:
        raise RemoteWireError("the buffers of a column are bytes")
    if len(nulls) % 4 or len(nulls) > 4 * rows:
        raise RemoteWireError("the nulls of a column are positions of its rows")
    _check_sizes(kind, data, extra, rows)
    return BlockColumn(name, kind, data, extra, nulls)


def _check_sizes(kind: str, data: bytes, extra: bytes, rows: int) -> None:
    if kind in _WIDTHS:
        if len(data) != _WIDTHS[kind] * rows:
            raise RemoteWireError(f"a column of kind {kind} does not hold {rows} values")
        if kind == "D":
            _check_dictionary(extra)
    elif kind == "s":
        _check_offsets(extra, rows, len(data))
    elif kind not in {"n", "o"}:
        raise RemoteWireError(f"there is no column kind {kind!r}")


def _check_dictionary(extra: bytes) -> None:
    count = _INT32.unpack_from(extra)[0] if len(extra) >= _INT32.size else -1
    end = 4 * (count + 2)
    if count < 0 or end > len(extra):
        raise RemoteWireError("the values of a dictionary do not fit their count")
    _check_offsets(extra[4:end], count, len(extra) - end)


def _check_offsets(offsets: bytes, count: int, text_bytes: int) -> None:
    if len(offsets) != 4 * (count + 1):
        raise RemoteWireError(f"{count} texts need {count + 1} offsets")
    first, last = _INT32.unpack_from(offsets)[0], _INT32.unpack_from(offsets, 4 * count)[0]
    if first != 0 or last != text_bytes:
        raise RemoteWireError("the offsets of texts do not span them")
