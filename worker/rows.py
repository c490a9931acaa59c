"""Rows as a plugin gets them: a real list of real dicts, built from column buffers.

For each layout of columns a function is generated once: one list comprehension with one dict
display, which is the fastest way to make dicts in Python. Nulls are put right afterwards, row by
row: an event's row lacks the key, a query's row holds None. Any thread may call it.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from itertools import pairwise
from typing import Any, cast

import msgpack

from worker.wire.faults import RemoteWireError
from worker.wire.messages import Block, BlockColumn

__all__ = ["Row", "result_rows", "rows_of"]

Row = dict[str, Any]
_Builder = Callable[[list[list[Any]], list[list[str]]], list[Row]]

_LARGE_ROWS = 1000
_MOST_BUILDERS = 256
_builders: dict[tuple[tuple[str, bool], ...], _Builder] = {}


def rows_of(block: Block) -> list[Row]:
    """Build the rows of an event; a null is an absent key.

    Raises:
        RemoteWireError: the buffers contradict each other.
    """
    rows = _build(block)
    for column in block.columns:
        name = column.name
        for position in memoryview(column.nulls).cast("i"):
            del rows[position][name]
    return rows


def result_rows(block: Block) -> list[Row]:
    """Build the rows of a query's result; a null is None.

    Raises:
        RemoteWireError: the buffers contradict each other.
    """
    rows = _build(block)
    for column in block.columns:
        name = column.name
        for position in memoryview(column.nulls).cast("i"):
            rows[position][name] = None
    return rows


def _build(block: Block) -> list[Row]:
    if not block.columns:
        return [{} for _ in range(block.rows)]
    # The collector would walk over all the new dicts again and again, and find nothing.
    pauses = block.rows >= _LARGE_ROWS and gc.isenabled()
    if pauses:
        gc.disable()
    try:
        values = [_values(column, block.rows) for column in block.columns]
        choices = [_texts_of_dictionary(c.extra) for c in block.columns if c.kind == "D"]
        return _builder(block.columns)(values, choices)
    except (ValueError, IndexError) as error:
        raise RemoteWireError(f"the columns of {block.table!r} do not fit: {error}") from error
    finally:
        if pauses:
            gc.enable()


def _builder(columns: tuple[BlockColumn, ...]) -> _Builder:
    layout = tuple([(column.name, column.kind == "D") for column in columns])
    builder = _builders.get(layout)
    if builder is None:
        if len(_builders) >= _MOST_BUILDERS:
            _builders.clear()
        builder = _builders[layout] = _generate(layout)
    return builder


def _generate(layout: tuple[tuple[str, bool], ...]) -> _Builder:
    """Write and compile the function of a layout; names enter it as literals only."""
    choices = 0
    cells = []
    for i, (name, is_dictionary) in enumerate(layout):
        cells.append(f"{name!r}: " + (f"choice{choices}[cell{i}]" if is_dictionary else f"cell{i}"))
        choices += is_dictionary
    unpack = "".join(f"choice{i}, " for i in range(choices))
    cell_names = "".join(f"cell{i}, " for i in range(len(layout)))
    source = (
        "def build(values, choices):\n"
        + (f"    {unpack}= choices\n" if choices else "")
        + f"    return [{{{', '.join(cells)}}} for {cell_names}in zip(*values)]\n"
    )
    namespace: dict[str, Any] = {}
    exec(compile(source, "<rows>", "exec"), namespace)  # noqa: S102 - made of literals above
    return cast("_Builder", namespace["build"])


def _values(column: BlockColumn, rows: int) -> list[Any]:
    match column.kind:
        case "s":
            return _texts(column.data, memoryview(column.extra).cast("i").tolist())
        case "D":
            return memoryview(column.data).cast("i").tolist()
        case "n":
            return [None] * rows
        case "o":
            return _native(column.data, rows)
        case number:
            return memoryview(column.data).cast(cast("Any", number)).tolist()


def _texts(blob: bytes, ends: list[int]) -> list[str]:
    if blob.isascii():
        text = blob.decode("ascii")
        return [text[start:end] for start, end in pairwise(ends)]
    return [blob[start:end].decode() for start, end in pairwise(ends)]


def _texts_of_dictionary(extra: bytes) -> list[str]:
    count = int.from_bytes(extra[:4], "little", signed=True)
    end_of_offsets = 4 * (count + 2)
    ends = memoryview(extra)[4:end_of_offsets].cast("i").tolist()
    return _texts(extra[end_of_offsets:], ends)


def _native(packed: bytes, rows: int) -> list[Any]:
    try:
        values = msgpack.unpackb(packed, strict_map_key=False)
    except msgpack.UnpackException as error:
        raise ValueError(str(error)) from error
    if type(values) is not list or len(values) != rows:
        raise ValueError(f"a column does not hold {rows} values")
    return values
