"""Arrow values as text, column by column: numbers, times and nested values in each output format.

Everything common is done by Arrow kernels on whole columns. Timestamps are written as
`2065-01-07T17:28:56`, with a fraction of 3, 6 or 9 digits only when it is not zero and an offset
only when the type has a zone; floats have a point; durations are ISO (`PT1.5S`, zero is `P0D`).

Pure; may be called from any thread.

Source: the JSON and CSV writers and the display functions of arrow-rs, whose output clients know.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from enum import Enum, auto

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from engine.query.render_time import render_duration, render_time, render_timestamp

__all__ = ["Style", "json_objects", "rendered"]


class Style(Enum):
    """Where the text will stand."""

    JSON = auto()
    CSV = auto()
    PRETTY = auto()


def rendered(array: pa.Array, style: Style) -> pa.Array:
    """Write each value as text.

    Args:
        array: of any type.
        style: JSON gives JSON values, strings quoted; the others plain text, nested values in CSV
            as JSON.

    Returns:
        utf8, null where the value is null.
    """
    kind = array.type
    if pa.types.is_dictionary(kind):
        return rendered(array.dictionary, style).take(array.indices)
    if pa.types.is_nested(kind):
        return _nested(array, style)
    for is_kind, render in _PLAIN:
        if is_kind(kind):
            return render(array)
    if pa.types.is_floating(kind):
        return _float(array, "null" if style is Style.JSON else None)
    text = _text(array)
    return _json_string(text) if style is Style.JSON else text


def json_objects(names: Sequence[str], columns: Sequence[pa.Array]) -> pa.Array:
    """Write rows as JSON objects; null members are left out."""
    members = [
        _joined(json.dumps(name, ensure_ascii=False) + ":", rendered(column, Style.JSON))
        for name, column in zip(names, columns, strict=True)
    ]
    return _joined("{", _joined_members(members), "}")


def _joined_members(members: Sequence[pa.Array]) -> pa.Array:
    if any(member.null_count == 0 for member in members):
        return pc.binary_join_element_wise(*members, ",", null_handling="skip")
    # Arrow drops a row in which all is skipped, so each gets a first member that is empty.
    inner = pc.binary_join_element_wise("", *members, ",", null_handling="skip")
    return pc.utf8_slice_codeunits(inner, 1)


def _joined(*parts: object) -> pa.Array:
    return pc.binary_join_element_wise(*parts, "")


def _cast(array: pa.Array) -> pa.Array:
    return array.cast(pa.utf8())


_PLAIN: tuple[tuple[Callable[[pa.DataType], bool], Callable[[pa.Array], pa.Array]], ...] = (
    (pa.types.is_null, _cast),
    (pa.types.is_boolean, _cast),
    (pa.types.is_integer, _cast),
    (pa.types.is_decimal, _cast),
)


def _float(array: pa.Array, not_finite: str | None) -> pa.Array:
    if pa.types.is_float16(array.type):
        array = array.cast(pa.float32())
    text = _cast(array)
    text = pc.if_else(pc.match_substring_regex(text, r"^-?\d+$"), _joined(text, ".0"), text)
    has_exponent = pc.match_substring(text, "e").fill_null(False)
    if pc.any(has_exponent).as_py():
        # Arrow changes to exponents early; Python does it at 1e16, and few values are so large.
        written = pa.array([repr(v) for v in array.filter(has_exponent).to_pylist()], pa.utf8())
        text = pc.replace_with_mask(text, has_exponent, written)
    if pc.all(pc.is_finite(array)).as_py() in {True, None}:
        return text
    words = not_finite or pc.if_else(pc.is_nan(array), "NaN", text)
    return pc.if_else(pc.is_finite(array), text, words)


def _text(array: pa.Array) -> pa.Array:
    """Write what JSON has as a string."""
    kind = array.type
    if pa.types.is_timestamp(kind):
        return render_timestamp(array)
    if pa.types.is_time(kind):
        return render_time(array)
    if pa.types.is_duration(kind):
        return render_duration(array)
    if pa.types.is_date64(kind):
        return render_timestamp(array.cast(pa.timestamp("ms")))
    if _is_binary(kind):
        return _each(array, bytes.hex)
    if pa.types.is_interval(kind):
        return _each(array, _interval)
    return _cast(array)


def _is_binary(kind: pa.DataType) -> bool:
    checks = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_fixed_size_binary)
    return any(check(kind) for check in checks) or kind == pa.binary_view()


def _each(array: pa.Array, write: Callable[..., str]) -> pa.Array:
    """Write values of a rare type one by one."""
    return pa.array([None if v is None else write(v) for v in array.to_pylist()], pa.utf8())


def _interval(value: pa.MonthDayNano) -> str:
    return f"{value.months} mons {value.days} days {value.nanoseconds / 1e9:.9f} secs"


_CONTROL = {"\n": "\\n", "\r": "\\r", "\t": "\\t", "\b": "\\b", "\f": "\\f"}


def _json_string(text: pa.Array) -> pa.Array:
    if pc.any(pc.match_substring_regex(text, r'["\\\x00-\x1f]')).as_py():
        text = pc.replace_substring(text, "\\", "\\\\")
        text = pc.replace_substring(text, '"', '\\"')
        if pc.any(pc.match_substring_regex(text, r"[\x00-\x1f]")).as_py():
            for code in map(chr, range(32)):
                escape = _CONTROL.get(code, f"\\u{ord(code):04x}")
                text = pc.replace_substring(text, code, escape)
    return _joined('"', text, '"')


def _nested(array: pa.Array, style: Style) -> pa.Array:
    inner = Style.PRETTY if style is Style.PRETTY else Style.JSON
    if pa.types.is_struct(array.type):
        return pc.if_else(array.is_valid(), _struct(array, inner), pa.scalar(None, pa.utf8()))
    if pa.types.is_map(array.type):
        entry = pa.struct([("key", array.type.key_type), ("value", array.type.item_type)])
        array = array.cast(pa.list_(entry))
    return _list(array, inner)


def _struct(array: pa.Array, style: Style) -> pa.Array:
    names = [field.name for field in array.type]
    if style is Style.JSON:
        return json_objects(names, array.flatten())
    members = [
        _joined(f"{name}: ", rendered(column, style).fill_null(""))
        for name, column in zip(names, array.flatten(), strict=True)
    ]
    return _joined("{", pc.binary_join_element_wise(*members, ", "), "}")


def _list(array: pa.Array, style: Style) -> pa.Array:
    null, separator = ("null", ",") if style is Style.JSON else ("", ", ")
    items = rendered(array.flatten(), style).fill_null(null)
    lengths = pc.list_value_length(array).fill_null(0).to_numpy()
    offsets = pa.array(np.concatenate(([0], np.cumsum(lengths))), pa.int32())
    inner = pc.binary_join(pa.ListArray.from_arrays(offsets, items), separator)
    text = _joined("[", inner, "]")
    return pc.if_else(array.is_valid(), text, pa.scalar(None, pa.utf8()))
