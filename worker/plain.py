"""Plain data as bytes, for the global cache, which other triggers read.

Plain are None, bool, int, float, str, bytes, and lists, tuples and dicts of plain data; exactly
these types, since a subclass would come back as something else. Pure.
"""

from __future__ import annotations

from typing import Any, cast

import msgpack

from worker.wire.limits import LIMITS

__all__ = ["pack_plain", "unpack_plain"]

_TUPLE = 1
_BIG_INTEGER = 2
_SCALARS = frozenset({type(None), bool, float, str, bytes})


def pack_plain(value: object) -> bytes:
    """Pack plain data.

    Raises:
        TypeError: something in it is not plain; the message names its type.
        ValueError: it nests too deep, or some text is no Unicode.
    """
    return cast("bytes", msgpack.packb(_prepare(value, LIMITS.nested_depth)))


def unpack_plain(packed: bytes) -> Any:  # noqa: ANN401 - what was put
    """Unpack what `pack_plain` has packed.

    Raises:
        ValueError: it is something else.
    """
    return msgpack.unpackb(packed, strict_map_key=False, ext_hook=_restore)


def _prepare(value: object, depth: int) -> object:
    kind = type(value)
    if kind in _SCALARS:
        return value
    if kind is int:
        return _prepare_integer(cast("int", value))
    if depth == 0:
        raise ValueError("the value nests too deep for the global cache")
    if kind is dict:
        return {
            _prepare(key, depth - 1): _prepare(item, depth - 1)
            for key, item in cast("dict[Any, Any]", value).items()
        }
    if kind is list:
        return [_prepare(item, depth - 1) for item in cast("list[Any]", value)]
    if kind is tuple:
        items = [_prepare(item, depth - 1) for item in cast("tuple[Any, ...]", value)]
        return msgpack.ExtType(_TUPLE, msgpack.packb(items))
    raise TypeError(
        "the global cache takes plain data only (None, bool, int, float, str, bytes, list, tuple, "
        f"dict), not {kind.__module__}.{kind.__qualname__}"
    )


def _prepare_integer(value: int) -> object:
    if -(1 << 63) <= value < 1 << 64:
        return value
    length = value.bit_length() // 8 + 1
    return msgpack.ExtType(_BIG_INTEGER, value.to_bytes(length, "little", signed=True))


def _restore(code: int, packed: bytes) -> object:
    if code == _TUPLE:
        return tuple(unpack_plain(packed))
    if code == _BIG_INTEGER:
        return int.from_bytes(packed, "little", signed=True)
    raise ValueError(f"there is no plain data of code {code}")
