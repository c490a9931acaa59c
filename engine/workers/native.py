"""Values without a column form (lists, maps, structs, bytes, intervals) as packed Python values.

Only results of queries hold such columns. Times inside them follow the rules of plain columns:
timestamps and durations are int nanoseconds, dates and times of day are ISO text.
Pure; any thread may call it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import msgpack
import pyarrow as pa

__all__ = ["pack_values"]

Retype = Callable[[pa.DataType], pa.DataType]


def pack_values(array: pa.Array) -> bytes:
    """Pack the values of an array as one msgpack list."""
    values = _times_replaced(array).to_pylist(maps_as_pydicts="lossy")
    return cast("bytes", msgpack.packb(values, default=str))


def _times_replaced(array: pa.Array) -> pa.Array:
    try:
        return array.cast(_rebuild(array.type, _to_nanoseconds)).cast(
            _rebuild(_rebuild(array.type, _to_nanoseconds), _to_plain)
        )
    except pa.ArrowException:
        return array


def _to_nanoseconds(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_timestamp(kind):
        return pa.timestamp("ns", kind.tz)
    if pa.types.is_duration(kind):
        return pa.duration("ns")
    if pa.types.is_dictionary(kind):
        return _rebuild(kind.value_type, _to_nanoseconds)
    return kind


def _to_plain(kind: pa.DataType) -> pa.DataType:
    types = pa.types
    if types.is_timestamp(kind) or types.is_duration(kind):
        return pa.int64()
    if types.is_date(kind) or types.is_time(kind):
        return pa.utf8()
    return pa.float64() if types.is_decimal(kind) else kind


def _rebuild(kind: pa.DataType, retype: Retype) -> pa.DataType:
    """Return the type with each innermost type replaced."""
    types = pa.types
    if types.is_struct(kind):
        members = [kind.field(i) for i in range(kind.num_fields)]
        return pa.struct([m.with_type(_rebuild(m.type, retype)) for m in members])
    if types.is_map(kind):
        return pa.map_(_rebuild(kind.key_type, retype), _rebuild(kind.item_type, retype))
    if types.is_large_list(kind):
        return pa.large_list(_rebuild(kind.value_type, retype))
    if types.is_list(kind) or types.is_fixed_size_list(kind):
        return pa.list_(_rebuild(kind.value_type, retype))
    return retype(kind)
