"""How much memory all requests together may hold for bodies and answers.

Each request has a share of one room. What it has read counts, decompressed bodies and answers that
wait for a slow client as well, until the request is over. When the room is full, more is refused
for a while rather than taken into memory; but nobody is refused for his own size alone, since
other limits bound one request. All methods run in the event loop's thread.
"""

from __future__ import annotations

import math

from starlette.requests import Request
from starlette.types import Scope

from engine.errors import Busy

__all__ = ["Room", "Share", "share_of"]

_SHARE = "bulkhead.share"


class Room:
    """Counts the bytes of all requests; at most about `max_bytes` are held."""

    def __init__(self, max_bytes: float) -> None:
        self.max_bytes = max_bytes
        self.held_bytes = 0

    def __repr__(self) -> str:
        """Describe the room in a sentence."""
        return f"<Room: {self.held_bytes} of {self.max_bytes} bytes held>"

    def share(self, scope: Scope) -> Share:
        """Return the share of a request, which `share_of` finds; it is to be released."""
        share = Share(self)
        scope[_SHARE] = share
        return share


class Share:
    """What one request holds."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._bytes = 0

    def __repr__(self) -> str:
        """Describe the share in a sentence."""
        return f"<Share: {self._bytes} bytes of {self._room!r}>"

    def take(self, size: int) -> None:
        """Hold some more bytes; 0 asks whether there is room at all.

        Raises:
            Busy: the others hold too much.
        """
        others = self._room.held_bytes - self._bytes
        if others and self._room.held_bytes + size > self._room.max_bytes:
            raise Busy("too many bytes of requests and answers are in memory; try again shortly")
        self.hold(size)

    def hold(self, size: int) -> None:
        """Hold some more bytes that are there already and cannot be refused."""
        self._bytes += size
        self._room.held_bytes += size

    def release(self) -> None:
        """Hold nothing any more."""
        self._room.held_bytes -= self._bytes
        self._bytes = 0


def share_of(request: Request) -> Share:
    """Return a request's share; one of a room without end if nobody counts."""
    share: Share = request.scope.get(_SHARE) or Share(Room(math.inf))
    return share
