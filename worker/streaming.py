"""A response whose body is made while it is sent, as parts of bytes.

Texts and bytes of the plugin's iterator become parts, other items are left out. The first of them
tells the content type, and is made before the head goes out: whatever fails until then is an
answer of its own. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from worker.wire.limits import LIMITS

__all__ = ["Parts", "Streamed", "cut"]

HTML = "text/html"
BINARY = "application/octet-stream"
_KINDS = (str, bytes, bytearray, memoryview)


class Parts:
    """The parts of a body, once; `close` ends what makes them."""

    def __init__(self, items: Iterator[object]) -> None:
        self._items = items
        self._first = self._next()
        self.content_type = HTML if isinstance(self._first, str | None) else BINARY

    def __iter__(self) -> Iterator[bytes]:
        item, self._first = self._first, None
        while item is not None:
            yield from cut(item.encode() if isinstance(item, str) else bytes(item))
            item = self._next()

    def close(self) -> None:
        """Close a generator that has not come to its end."""
        close = getattr(self._items, "close", None)
        if callable(close):
            close()

    def _next(self) -> str | bytes | bytearray | memoryview | None:
        for item in self._items:
            if isinstance(item, _KINDS):
                return item
        return None


@dataclass(frozen=True, slots=True)
class Streamed:
    """A response of unknown length."""

    status: int
    headers: tuple[tuple[str, str], ...]
    parts: Parts


def cut(body: bytes) -> Iterator[bytes]:
    """Yield a body in parts that a message may hold; none of them is empty."""
    for start in range(0, len(body), LIMITS.chunk_bytes):
        yield body[start : start + LIMITS.chunk_bytes]
