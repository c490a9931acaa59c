"""Request bodies: read once, bounded in size and time, decompressed.

A body is refused as soon as it is known to be too large, before the rest of it is read. What was
not read is drained by the protocol, within its own time, so that the client sees the refusal
rather than a reset connection. Called in the event loop's thread; decompression runs in the
loop's default executor.
"""

from __future__ import annotations

import asyncio
import zlib

from starlette.requests import ClientDisconnect, Request

from engine.errors import InvalidParameter
from engine.http.errors import RequestTooLarge, SlowBody
from engine.http.limits import EdgeLimits
from engine.http.room import share_of

__all__ = ["gunzip", "read_body"]

_GZIP_WINDOW = 16 + zlib.MAX_WBITS
# What follows a member is copied once per member, so both bounds keep many tiny members cheap.
_FEED_BYTES = 16 * 1024
_MAX_MEMBERS = 10_000


async def read_body(request: Request, limits: EdgeLimits) -> bytes:
    """Return the whole body, decompressed.

    Raises:
        RequestTooLarge: more than `max_request_bytes`, as sent or decompressed.
        Busy: all requests together hold too much.
        SlowBody: no byte came for `body_idle_s`.
        InvalidParameter: an unknown content encoding, or damaged gzip.
        ClientDisconnect: the client went away.
    """
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in {"", "identity", "gzip"}:
        raise InvalidParameter(f"unacceptable content-encoding: {encoding}")
    raw = await _read_raw(request, limits)
    if encoding != "gzip":
        return raw
    loop = asyncio.get_running_loop()
    body = await loop.run_in_executor(None, gunzip, raw, limits.max_request_bytes)
    share_of(request).take(len(body))
    return body


def gunzip(raw: bytes, max_bytes: int) -> bytes:
    """Decompress gzip of one or more members; any thread.

    Raises:
        RequestTooLarge: the result would be larger than allowed; no more than that is made.
        InvalidParameter: damaged, cut off, or of too many members.
    """
    parts: list[bytes] = []
    room, at = max_bytes, 0
    for _ in range(_MAX_MEMBERS):
        if at == len(raw):
            return b"".join(parts)
        room, at = _gunzip_member(raw, at, parts, room)
        if room < 0:
            raise RequestTooLarge(max_bytes)
    raise InvalidParameter("error decoding gzip stream: too many members")


def _gunzip_member(raw: bytes, at: int, parts: list[bytes], room: int) -> tuple[int, int]:
    """Append one member's content and return the room left (negative: exceeded) and its end."""
    member = zlib.decompressobj(_GZIP_WINDOW)
    while not member.eof and room >= 0:
        fed = memoryview(raw)[at : at + _FEED_BYTES]
        if not fed:
            raise InvalidParameter("error decoding gzip stream: unexpected end of file")
        try:
            part = member.decompress(fed, room + 1)
        except zlib.error as error:
            raise InvalidParameter(f"error decoding gzip stream: {error}") from error
        parts.append(part)
        room -= len(part)
        at += len(fed) - len(member.unused_data)
    return room, at


async def _read_raw(request: Request, limits: EdgeLimits) -> bytes:
    declared = request.headers.get("content-length", "")
    # The parser has checked the header; a chunked body has none.
    if declared.isdecimal() and int(declared) > limits.max_request_bytes:
        raise RequestTooLarge(limits.max_request_bytes)
    share = share_of(request)
    chunks: list[bytes] = []
    size, is_complete = 0, False
    while not is_complete:
        chunk, is_complete = await _next_chunk(request, limits.body_idle_s)
        size += len(chunk)
        if size > limits.max_request_bytes:
            raise RequestTooLarge(limits.max_request_bytes)
        share.take(len(chunk))
        chunks.append(chunk)
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


async def _next_chunk(request: Request, idle_s: float) -> tuple[bytes, bool]:
    try:
        async with asyncio.timeout(idle_s):
            message = await request.receive()
    except TimeoutError:
        raise SlowBody(idle_s) from None
    if message["type"] == "http.disconnect":
        raise ClientDisconnect
    return message.get("body", b""), not message.get("more_body", False)
