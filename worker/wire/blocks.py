"""Blocks as bytes: a flat list of table, rows, and five fields for each column.

The buffers of a column go in and come out as they are; only their sizes are checked, so that
reading a block costs nothing per value.
"""

from __future__ import annotations

import struct
from typing import Any

import msgpack

from worker.wire.faults import RemoteWireError
from worker.wire.fields import Field, read_list
from worker.wire.limits import LIMITS
from worker.wire.messages import Block, BlockColumn

__all__ = ["BLOCK", "read_block", "write_block"]

_HEAD = 2
_PER_COLUMN = 5
_WIDTHS = {"q": 8, "Q": 8, "d": 8, "?": 1, "D": 4}
_INT32 = struct.Struct("<i")


def write_block(block: Block) -> bytes:
    """Pack a block; the buffers are copied once."""
    items: list[Any] = [block.table, block.rows]
    for column in block.columns:
        items += (column.name, column.kind, column.data, column.extra, column.nulls)
    packed: bytes = msgpack.packb(items)
    return packed


def read_block(packed: object) -> Block:
    """Unpack a block.

    Raises:
        RemoteWireError: it is not a block, or a buffer's size does not fit its rows.
    """
    if type(packed) is not bytes:
        raise RemoteWireError("a block is bytes")
    items = read_list(packed, _HEAD + _PER_COLUMN * LIMITS.columns)
    if len(items) < _HEAD or (len(items) - _HEAD) % _PER_COLUMN:
        raise RemoteWireError("a block is a table, a number of rows and whole columns")
    table, rows = items[:_HEAD]
    if type(table) is not str or type(rows) is not int or not 0 <= rows <= LIMITS.message_bytes:
        raise RemoteWireError("the head of a block is a text and a number of rows")
    columns = tuple(
        _read_column(items[start : start + _PER_COLUMN], rows)
        for start in range(_HEAD, len(items), _PER_COLUMN)
    )
    return Block(table, rows, columns)


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


BLOCK = Field(write_block, read_block)
