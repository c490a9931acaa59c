"""A backup as a download: `/api/v3/backup`.

The archive is read piece by piece, each when the client has taken the one before; a client that
leaves ends it. When something fails half-way the connection is cut before the announced length.
"""

from __future__ import annotations

import asyncio
import logging

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from engine.http.endpoint import blocking
from engine.http.errors import text_answer
from engine.http.fields import QueryFields
from engine.http.parts import cut, until_gone
from engine.http.services import BackupParts, HttpServices

__all__ = ["BackupEndpoints"]

log = logging.getLogger(__name__)


class BackupEndpoints:
    """Backups, if the server makes any."""

    def __init__(self, services: HttpServices) -> None:
        self._backups = services.backups

    async def download(self, request: Request) -> Response:
        """Send a backup of this moment as a tar archive."""
        fields = QueryFields(request.scope["query_string"])
        with_plugins = fields.flag("plugins", default=True)
        backups = self._backups
        if backups is None:
            return text_answer(404, "Not found")
        parts = await blocking(lambda: backups.begin(with_plugins=with_plugins))
        return _Download(parts)


class _Download(Response):
    """Sends an archive, and lets its files go however that ends."""

    media_type = "application/x-tar"

    def __init__(self, parts: BackupParts) -> None:
        super().__init__(None)
        self.raw_headers = [
            (b"content-type", b"application/x-tar"),
            (b"content-length", b"%d" % parts.size_bytes),
        ]
        self._parts = parts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the archive."""
        gone = asyncio.ensure_future(until_gone(receive))
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            await self._send_pieces(send, gone)
        except OSError:
            log.exception("backup broke off")
            await cut(scope, gone)
        finally:
            gone.cancel()
            # Even when this task is cancelled: a thread may be in the middle of a piece.
            await asyncio.shield(blocking(self._parts.close))

    async def _send_pieces(self, send: Send, gone: asyncio.Future[None]) -> None:
        while not gone.done():
            piece = await blocking(self._parts.next_piece)
            if piece is None:
                await send({"type": "http.response.body", "body": b""})
                return
            if piece:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
