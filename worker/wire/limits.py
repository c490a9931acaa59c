"""Versions and limits of the wire; both ends hold them."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["API_VERSION", "LIMITS", "PROTOCOL_VERSION", "Limits"]

PROTOCOL_VERSION = 1
"""The plumbing: message kinds, their fields, their order."""

API_VERSION = 1
"""What a plugin sees."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a message may hold; more is a fault of its sender.

    Args:
        message_bytes: one message.
        nested_bytes: maps and lists inside a message (parameters, headers, list values); each of
            their bytes can become an object, so they are held much smaller than a message.
        nested_depth: lists and maps inside one another.
        parameters: of one query, and query parameters or headers of one request.
        message_items: fields of one message, those of its blocks included.
        columns: of one block.
        lines_characters: buffered lines in one part; at most four bytes each.
        mirror_bytes: one mirrored cache value, unless the launch document says otherwise.
        chunk_bytes: one part of an answer's body.
        body_bytes: an answer that is not a stream, however many parts it comes in.
        text_characters: one log line, one message or traceback of a fault; longer is cut.
    """

    message_bytes: int = 64 << 20
    nested_bytes: int = 8 << 20
    nested_depth: int = 64
    parameters: int = 1024
    message_items: int = 1 << 20
    columns: int = 4096
    lines_characters: int = 1 << 20
    mirror_bytes: int = 1 << 20
    chunk_bytes: int = 1 << 20
    body_bytes: int = 256 << 20
    text_characters: int = 64 << 10


LIMITS = Limits()
