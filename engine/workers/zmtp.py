"""The bytes of a lane: as much of ZMTP 3.1 as one PAIR socket needs to talk to another.

Each end first sends a greeting of 64 bytes and, under the mechanism NULL, a READY command:

    offset  bytes  greeting
    0       1      0xFF
    1       8      anything
    9       1      0x7F
    10      2      version: 3, and any minor number
    12      20     mechanism: "NULL", filled up with zeros
    32      1      0: no server in the sense of a mechanism
    33      31     anything

What follows are frames. The lowest bits of the first byte are flags, the others are zero:

    bit 0   MORE     another frame of the same message follows
    bit 1   LONG     the length has 8 bytes, big-endian; else it has one
    bit 2   COMMAND  no message but a command

    flags (1), length (1 or 8), body

A command is the length of its name (1), the name, and its data. That of READY is properties: the
length of a name (1), the name, the length of its value (4, big-endian), the value. `Socket-Type`
must be PAIR.

A message of ours is one frame. Whoever sends one with MORE, one over the limit, a command after
READY, or anything else than this, breaks the protocol; nothing of such a frame is kept.

Pure; one `Decoder` belongs to one peer and one thread.

Source: ZMTP 3.1, https://rfc.zeromq.org/spec/37/.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator

from engine.errors import ProtocolFault

__all__ = ["OPENING", "Decoder", "header"]

_MORE, _LONG, _COMMAND = 1, 2, 4
_SHORT_MAX = 255
_SHORT = struct.Struct(">BB")
_LONG_HEADER = struct.Struct(">BQ")
_WORD = struct.Struct(">I")

_GREETING_BYTES = 64
_MAJOR = 3
_MECHANISM = b"NULL".ljust(20, b"\0")
_GREETING = b"\xff" + bytes(8) + b"\x7f" + bytes([_MAJOR, 1]) + _MECHANISM + bytes(32)
_READY_BYTES = 1024  # libzmq's has 27
_NAME = b"\x05READY"
_SOCKET_TYPE, _PAIR = b"Socket-Type", b"PAIR"
_READY = _NAME + bytes([len(_SOCKET_TYPE)]) + _SOCKET_TYPE + _WORD.pack(len(_PAIR)) + _PAIR

OPENING = _GREETING + _SHORT.pack(_COMMAND, len(_READY)) + _READY
"""Greeting and READY, which do not wait for the peer's; the first message does."""


def header(length: int) -> bytes:
    """Return what stands before a message of so many bytes."""
    if length <= _SHORT_MAX:
        return _SHORT.pack(0, length)
    return _LONG_HEADER.pack(_LONG, length)


class Decoder:
    """Turns the bytes of one peer into its messages, wherever they were cut.

    Args:
        max_bytes: of one message; may be changed between two calls of `take`.
    """

    __slots__ = ("_at", "_body", "_missing", "_parts", "_read", "max_bytes")

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self._parts = b""  # what has come; read as far as `_at`
        self._at = 0
        self._body = bytearray()  # of a message that has come in part
        self._missing = 0
        self._read: Callable[[], bytes | bytearray | None] = self._greeting

    def __repr__(self) -> str:
        """Describe the decoder in a sentence."""
        return f"<Decoder: {len(self._parts) - self._at} bytes wait, {self._missing} are missing>"

    def feed(self, part: bytes) -> None:
        """Take the next bytes; best after `take` has returned None."""
        if not self._missing:
            self._parts, self._at = self._parts[self._at :] + part, 0
        elif len(part) <= self._missing:
            self._body += part
            self._missing -= len(part)
        else:
            self._body += memoryview(part)[: self._missing]
            self._parts, self._at, self._missing = part, self._missing, 0

    def take(self) -> bytes | bytearray | None:
        """Return the next message, or None when more bytes are needed.

        Raises:
            ProtocolFault: the bytes are none that a PAIR socket sends; the decoder is spent.
        """
        return self._read()

    def _greeting(self) -> bytes | bytearray | None:
        if len(self._parts) < _GREETING_BYTES:
            return None
        greeting, self._at = self._parts[:_GREETING_BYTES], _GREETING_BYTES
        if greeting[0] != _GREETING[0] or greeting[9] != _GREETING[9] or greeting[10] < _MAJOR:
            raise ProtocolFault("the peer speaks no ZMTP 3")
        if greeting[12:33] != _GREETING[12:33]:
            raise ProtocolFault("the peer asks for another mechanism than NULL")
        self._read = self._ready
        return self._ready()

    def _ready(self) -> bytes | bytearray | None:
        ready = self._frame(_COMMAND, _READY_BYTES)
        if ready is None:
            return None
        if dict(_properties(bytes(ready))).get(_SOCKET_TYPE.lower()) != _PAIR:
            raise ProtocolFault("the peer is no PAIR socket")
        self._read = self._message
        return self._message()

    def _message(self) -> bytes | bytearray | None:
        parts, at = self._parts, self._at
        if not self._missing and not self._body:
            if at == len(parts):
                return None
            # Most messages are short and whole: a flags byte of zero, one byte of length.
            if at + 1 < len(parts) and not parts[at] and parts[at + 1] <= self.max_bytes:
                end = at + 2 + parts[at + 1]
                if end <= len(parts):
                    self._at = end
                    return parts[at + 2 : end]
        return self._frame(0, self.max_bytes)

    def _frame(self, kind: int, most: int) -> bytes | bytearray | None:
        if self._missing:
            return None
        if self._body:
            body, self._body = self._body, bytearray()
            return body
        length = self._header(kind, most)
        if length is None:
            return None
        body_at, end = self._at, self._at + length
        if end <= len(self._parts):
            self._at = end
            return self._parts[body_at:end]
        self._body += memoryview(self._parts)[body_at:]
        self._missing = end - len(self._parts)
        self._parts, self._at = b"", 0
        return None

    def _header(self, kind: int, most: int) -> int | None:
        """Step over the header of a frame and return the length of its body."""
        waiting = len(self._parts) - self._at
        if not waiting:
            return None
        flags = self._parts[self._at]
        if flags & ~_LONG != kind:
            raise ProtocolFault(_complaint(flags, kind))
        size = _LONG_HEADER.size if flags & _LONG else _SHORT.size
        if waiting < size:
            return None
        length = int.from_bytes(self._parts[self._at + 1 : self._at + size], "big")
        if length > most:
            raise ProtocolFault(f"a frame of {length} bytes; {most} are allowed")
        self._at += size
        return length


def _complaint(flags: int, kind: int) -> str:
    if flags & ~(_MORE | _LONG | _COMMAND):
        return f"a frame with the unknown flags {flags:#04x}"
    if flags & _MORE:
        return "a message of several frames"
    return "a message before the handshake" if kind else "a command after the handshake"


def _properties(body: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Read the properties of a READY command, their names in lower case."""
    if not body.startswith(_NAME):
        raise ProtocolFault("the peer's first command is not READY")
    at = len(_NAME)
    while at < len(body):
        name_at, at = at + 1, at + 1 + body[at]
        name, value_at = body[name_at:at], at + _WORD.size
        if value_at > len(body):
            raise ProtocolFault("a READY command that is cut off")
        at = value_at + _WORD.unpack_from(body, at)[0]
        if at > len(body):
            raise ProtocolFault("a READY command that is cut off")
        yield name.lower(), body[value_at:at]
