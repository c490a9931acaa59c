"""Messages as bytes: a flat msgpack array, the number of the kind first, then the fields.

`decode` raises RemoteWireError for anything that `encode` could not have made, and nothing else.
Numbers of kinds are never given to another kind. Any thread may call both.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from operator import attrgetter
from typing import Any

import msgpack

from worker.wire import fields as f
from worker.wire import messages as m
from worker.wire.blocks import read_blocks, write_blocks
from worker.wire.faults import LocalWireError, RemoteWireError
from worker.wire.limits import LIMITS
from worker.wire.session import SENDERS, Side

__all__ = ["decode", "encode"]

_KINDS: dict[int, tuple[type[m.Message], tuple[f.Field, ...]]] = {
    1: (m.Hello, (f.BINARY, f.INTEGER, f.INTEGER, f.INTEGER, f.TEXT, f.INTEGER)),
    2: (m.Ready, ()),
    3: (m.Log, (f.TEXT, f.TEXT, f.INTEGER)),
    4: (m.QueryCall, (f.TEXT, f.OPTIONAL_PARAMETERS, f.OPTIONAL_TEXT)),
    5: (m.WriteCall, (f.OPTIONAL_TEXT, f.TEXT, f.BOOLEAN)),
    6: (m.CachePutCall, (f.TEXT, f.BINARY, f.OPTIONAL_NUMBER)),
    7: (m.CacheGetCall, (f.TEXT,)),
    8: (m.CacheDeleteCall, (f.TEXT,)),
    9: (m.Lines, (f.OPTIONAL_TEXT, f.TEXT)),
    10: (m.Result, (f.OPTIONAL_FAULT, f.OPTIONAL_RESPONSE)),
    11: (m.Mirror, (f.TEXT, f.OPTIONAL_BINARY, f.OPTIONAL_INTEGER, f.TEXT)),
    12: (m.Head, (f.INTEGER, f.HEADERS, f.OPTIONAL_INTEGER)),
    13: (m.Chunk, (f.BINARY,)),
    33: (m.Welcome, (f.INTEGER, f.INTEGER)),
    34: (m.Restore, (f.TEXT, f.BINARY, f.OPTIONAL_INTEGER)),
    35: (m.Load, (f.TEXT, f.OPTIONAL_TEXT, f.OPTIONAL_TEXT)),
    36: (m.WalRun, ()),
    37: (m.ScheduledRun, (f.TEXT, f.INTEGER)),
    38: (m.RequestRun, (f.TEXT, f.TEXTS_BY_NAME, f.TEXTS_BY_NAME, f.BINARY)),
    39: (m.QueryReply, ()),
    40: (m.DoneReply, ()),
    41: (m.CacheReply, (f.BOOLEAN, f.OPTIONAL_BINARY)),
    42: (m.FaultReply, (f.FAULT,)),
    43: (m.Cancel, ()),
    44: (m.Stop, ()),
}
_SMALL_BYTES = 64
_MIRROR_STATES = {"stored", "deleted", "live"}


def _field_getter(kind: type[m.Message]) -> Callable[[m.Message], tuple[Any, ...]]:
    names = tuple(field.name for field in dataclasses.fields(kind))
    match len(names):
        case 0:
            return lambda _message: ()
        case 1:
            only = attrgetter(names[0])
            return lambda message: (only(message),)
        case _:
            return attrgetter(*names)


_WRITERS = {
    kind: (number, tuple(field.write for field in fields), _field_getter(kind))
    for number, (kind, fields) in _KINDS.items()
}


def encode(message: m.Message) -> bytes:
    """Turn a message into bytes.

    Raises:
        LocalWireError: a value does not fit: text that is no Unicode, a number over 64 bits, a
            message over the limit.
    """
    try:
        items = _items(message)
        packed: bytes = msgpack.packb(items, buf_size=_size_of(items))
    except (ValueError, TypeError, OverflowError) as error:
        raise LocalWireError(f"{type(message).__name__} cannot be sent: {error}") from error
    if len(packed) > LIMITS.message_bytes:
        raise LocalWireError(
            f"{type(message).__name__} of {len(packed)} bytes is over the limit of "
            f"{LIMITS.message_bytes}"
        )
    return packed


def _items(message: m.Message) -> list[Any]:
    number, writers, values_of = _WRITERS[type(message)]
    match message:
        case m.WalRun(run_id, tables):
            return [number, run_id, *write_blocks(tables)]
        case m.QueryReply(block):
            return [number, *write_blocks([block])]
        case _:
            values = values_of(message)
            return [number, *(w(v) for w, v in zip(writers, values, strict=True))]


def _size_of(items: list[Any]) -> int:
    """Guess the packed size, so that the packer's buffer need not grow."""
    return sum(len(i) for i in items if type(i) is bytes) + _SMALL_BYTES * len(items)


def decode(packed: bytes | bytearray, sender: Side | None = None) -> m.Message:
    """Turn bytes into a message.

    Args:
        packed: what the other end has sent.
        sender: when given, a message that is not this side's to send is refused unread.

    Raises:
        RemoteWireError: the bytes are no message.
    """
    if len(packed) > LIMITS.message_bytes:
        raise RemoteWireError(f"a message of {len(packed)} bytes")
    items = f.read_list(packed, LIMITS.message_items)
    number = items[0] if items else None
    if type(number) is not int or number not in _KINDS:
        raise RemoteWireError(f"there is no message kind {number!r:.40}")
    kind, fields = _KINDS[number]
    if sender is not None and SENDERS[kind] != sender:
        raise RemoteWireError(f"{kind.__name__} is not for the {sender} to send")
    if kind is m.WalRun or kind is m.QueryReply:
        return _read_with_blocks(kind, items[1:])
    if len(items) != 1 + len(fields):
        raise RemoteWireError(f"{kind.__name__} has {len(fields)} fields, not {len(items) - 1}")
    message = kind(*(field.read(item) for field, item in zip(fields, items[1:], strict=True)))
    if type(message) is m.Mirror:
        _check_mirror(message)
    return message


def _read_with_blocks(kind: type[m.Message], items: list[Any]) -> m.Message:
    if kind is m.WalRun:
        return m.WalRun(f.TEXT.read(items[0] if items else None), read_blocks(items[1:]))
    blocks = read_blocks(items)
    if len(blocks) != 1:
        raise RemoteWireError(f"QueryReply has one block, not {len(blocks)}")
    return m.QueryReply(blocks[0])


def _check_mirror(mirror: m.Mirror) -> None:
    if mirror.state not in _MIRROR_STATES:
        raise RemoteWireError(f"there is no mirror state {mirror.state!r:.40}")
    if (mirror.value is not None) != (mirror.state == "stored"):
        raise RemoteWireError("a stored mirror has a value, another has none")
