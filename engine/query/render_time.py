"""Timestamps, times of day and durations as text, column by column.

Pure; may be called from any thread.
"""

from __future__ import annotations

from typing import cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

__all__ = ["render_duration", "render_time", "render_timestamp"]

_DIGITS = {"s": 0, "ms": 3, "us": 6, "ns": 9}


def render_timestamp(array: pa.Array) -> pa.Array:
    """Write timestamps as RFC 3339, with `Z` or an offset only when the type has a zone."""
    unit, zone = array.type.unit, array.type.tz
    local = array if zone is None else pc.local_timestamp(array)
    text = pc.replace_substring(local.cast(pa.utf8()), " ", "T", max_replacements=1)
    text = _without_zeros(text, _integers(local), _DIGITS[unit])
    if zone is None:
        return text
    minutes = (_integers(local) - _integers(array)) // (60 * 10 ** _DIGITS[unit])
    distinct, place = np.unique(minutes, return_inverse=True)
    offsets = pa.array([_offset(int(m)) for m in distinct], pa.utf8())
    return pc.binary_join_element_wise(text, offsets.take(pa.array(place)), "")


def render_time(array: pa.Array) -> pa.Array:
    """Write times of day as `17:28:56`."""
    return _without_zeros(array.cast(pa.utf8()), _integers(array), _DIGITS[array.type.unit])


def render_duration(array: pa.Array) -> pa.Array:
    """Write durations as ISO 8601 in seconds: `PT1.5S`, `-PT60S`, and `P0D` for zero."""
    digits = _DIGITS[array.type.unit]
    values = _integers(array)
    seconds, fraction = np.divmod(np.abs(values).astype(np.uint64), np.uint64(10**digits))
    whole = pa.array(seconds).cast(pa.utf8())
    padded = pc.utf8_lpad(pa.array(fraction).cast(pa.utf8()), digits, "0")
    point = pc.binary_join_element_wise(".", pc.utf8_rtrim(padded, "0"), "")
    text = pc.binary_join_element_wise(
        pc.if_else(pa.array(values < 0), "-PT", "PT"),
        whole,
        pc.if_else(pa.array(fraction > 0), point, ""),
        "S",
        "",
    )
    text = pc.if_else(pa.array(values == 0), "P0D", text)
    return pc.if_else(array.is_valid(), text, pa.scalar(None, pa.utf8()))


def _integers(array: pa.Array) -> npt.NDArray[np.int64]:
    wide = array.view(pa.int32()).cast(pa.int64()) if array.type.bit_width == 32 else array  # noqa: PLR2004 (bits)
    counts = wide.view(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False)
    return cast("npt.NDArray[np.int64]", counts)


def _without_zeros(text: pa.Array, values: npt.NDArray[np.int64], digits: int) -> pa.Array:
    """Shorten a fraction of so many digits to 6, 3 or none where the rest is zero."""
    result = text
    for kept in (6, 3, 0):
        is_zero = values % 10 ** (digits - kept) == 0 if kept < digits else np.array([False])
        if is_zero.any():
            cut = digits - kept + (kept == 0)
            shorter = pc.utf8_slice_codeunits(text, 0, -cut)
            result = pc.if_else(pa.array(is_zero), shorter, result)
    return result


def _offset(minutes: int) -> str:
    if minutes == 0:
        return "Z"
    hours, rest = divmod(abs(minutes), 60)
    return f"{'-' if minutes < 0 else '+'}{hours:02}:{rest:02}"
