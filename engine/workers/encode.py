"""Arrow rows as the column buffers that travel to a worker.

Buffers are cut out of Arrow memory whole; Python touches single values only of types that have no
plain column form (lists, structs, bytes), and these come from queries alone. An event is encoded
once, however many triggers take it. Pure; any thread may call it.

    Arrow                                     Python value in the worker
    int*, uint*                               int
    float*, decimal                           float
    timestamp, duration of any unit           int, nanoseconds
    date, time                                str, as ISO 8601
    utf8 of any kind, dictionary of it        str
    bool                                      bool
    binary, list, map, struct                 bytes, list, dict, dict
    interval                                  list of months, days, nanoseconds
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from engine.workers.native import pack_values
from worker.wire.messages import Block, BlockColumn

__all__ = ["encode_result", "encode_table"]

_PER_UNIT = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1}
_TAG = pa.dictionary(pa.int32(), pa.utf8())


def encode_table(name: str, rows: pa.RecordBatch) -> Block:
    """Encode rows of one table for an event; a null means that the row lacks the column."""
    columns = zip(rows.schema.names, rows.columns, strict=True)
    return Block(name, rows.num_rows, tuple(_encode(column, array) for column, array in columns))


def encode_result(table: pa.Table) -> Block:
    """Encode the rows of a query.

    Of columns with one name the last one's values stand at the first one's place.
    """
    latest = {column: _one_chunk(table.column(i)) for i, column in enumerate(table.column_names)}
    columns = tuple(_encode(column, array) for column, array in latest.items())
    return Block("", table.num_rows, columns)


def _one_chunk(column: pa.ChunkedArray) -> pa.Array:
    if column.num_chunks == 1:
        return column.chunk(0)
    if pa.types.is_dictionary(column.type):
        column = column.unify_dictionaries()
    combined = column.combine_chunks()
    return combined.combine_chunks() if isinstance(combined, pa.ChunkedArray) else combined


def _encode(name: str, array: pa.Array) -> BlockColumn:
    if len(array) and array.null_count == len(array):
        return BlockColumn(name, "n", b"", b"", _positions(np.arange(len(array))))
    plain = _plain(array)
    nulls = _null_positions(plain)
    match plain.type:
        case pa.DictionaryType():
            return _encode_dictionary(name, plain, nulls)
        case kind if kind == pa.utf8():
            texts = plain.fill_null("") if nulls else plain
            offsets, blob = _text_buffers(texts)
            return BlockColumn(name, "s", blob, offsets, nulls)
        case kind if kind == pa.bool_():
            filled = pc.fill_null(plain, pa.scalar(value=False)) if nulls else plain
            values = filled.to_numpy(zero_copy_only=False)
            return BlockColumn(name, "?", values.tobytes(), b"", nulls)
        case kind if kind in _NUMBER_KINDS:
            filled = plain.fill_null(0) if nulls else plain
            return BlockColumn(name, _NUMBER_KINDS[kind], filled.to_numpy().tobytes(), b"", nulls)
        case _:
            return BlockColumn(name, "o", pack_values(array), b"", nulls)


_NUMBER_KINDS = {pa.int64(): "q", pa.uint64(): "Q", pa.float64(): "d"}


def _null_positions(array: pa.Array) -> bytes:
    if not array.null_count:
        return b""
    return _positions(np.flatnonzero(array.is_null().to_numpy(zero_copy_only=False)))


def _positions(rows: npt.NDArray[np.intp]) -> bytes:
    return rows.astype("<i4").tobytes()


def _plain(array: pa.Array) -> pa.Array:
    """Bring an array to a type that has a column form, or leave it as it is."""
    kind = array.type
    if kind == _TAG:
        return array if not array.dictionary.null_count else array.cast(pa.utf8())
    if pa.types.is_dictionary(kind):
        return _plain(array.cast(kind.value_type))
    if pa.types.is_timestamp(kind) or pa.types.is_duration(kind):
        return _nanoseconds(array)
    target = _cast_target(kind)
    return array if target is None or target == kind else array.cast(target)


def _cast_target(kind: pa.DataType) -> pa.DataType | None:
    types = pa.types
    if types.is_signed_integer(kind):
        return pa.int64()
    if types.is_unsigned_integer(kind):
        return pa.uint64()
    if types.is_floating(kind) or types.is_decimal(kind):
        return pa.float64()
    is_text = types.is_large_string(kind) or types.is_string_view(kind)
    if is_text or types.is_date(kind) or types.is_time(kind):
        return pa.utf8()
    return None


def _nanoseconds(array: pa.Array) -> pa.Array:
    counts = array.view(pa.int64())
    factor = _PER_UNIT[array.type.unit]
    if factor == 1:
        return counts
    try:
        return pc.multiply_checked(counts, factor)
    except pa.ArrowInvalid:
        # Beyond the years 1677 to 2262 the count needs more than 64 bits; a float comes near.
        return pc.multiply(counts.cast(pa.float64(), safe=False), float(factor))


def _text_buffers(array: pa.Array) -> tuple[bytes, bytes]:
    if len(array) == 0:
        return b"\0\0\0\0", b""
    _, offsets_buffer, blob = array.buffers()
    offsets = np.frombuffer(offsets_buffer, np.int32)[array.offset :][: len(array) + 1]
    start, end = int(offsets[0]), int(offsets[-1])
    texts = b"" if blob is None else blob.slice(start, end - start).to_pybytes()
    return (offsets - offsets[0]).astype("<i4").tobytes(), texts


def _encode_dictionary(name: str, array: pa.DictionaryArray, nulls: bytes) -> BlockColumn:
    indices = array.indices.fill_null(0) if nulls else array.indices
    codes, used = _compact(indices.to_numpy(), len(array.dictionary))
    values = array.dictionary if used is None else array.dictionary.take(pa.array(used))
    offsets, blob = _text_buffers(values)
    extra = np.int32(len(values)).astype("<i4").tobytes() + offsets + blob
    return BlockColumn(name, "D", codes.astype("<i4", copy=False).tobytes(), extra, nulls)


def _compact(
    codes: npt.NDArray[np.int32], size: int
) -> tuple[npt.NDArray[np.integer], npt.NDArray[np.integer] | None]:
    """Number the values that occur from 0; None in place of them when all do."""
    if size > 4 * len(codes):
        used, dense = np.unique(codes, return_inverse=True)
        return dense, used
    occurs = np.zeros(size, np.bool_)
    occurs[codes] = True
    if occurs.all():
        return codes, None
    return (np.cumsum(occurs, dtype=np.int32) - 1)[codes], np.flatnonzero(occurs)
