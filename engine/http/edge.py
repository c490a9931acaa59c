"""What happens to every request before its route and to every answer after it.

One ASGI middleware: preflight requests are answered, the authorizer is asked, and answers get the
headers that all of them carry. Who may read the answers of a request plugin is its trigger's
choice, unless the plugin says so itself. Runs in the event loop's thread.
"""

from __future__ import annotations

from collections.abc import Callable

from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from engine.errors import UserError
from engine.http.auth import Authorizer
from engine.http.cors import ANY, allow_origin, preflight
from engine.http.errors import plain_answer
from engine.http.room import Room

__all__ = ["Edge"]

_PREFLIGHT = {
    "access-control-allow-origin": "*",
    "access-control-allow-methods": "*",
    "access-control-allow-headers": "*",
    "access-control-max-age": "86400",
}
_ENGINE = "/api/v3/engine/"
_ALLOW_ORIGIN = b"access-control-allow-origin"
_FIRST_ERROR_STATUS = 400
_PIECE_BYTES = 256 * 1024


class Edge:
    """Stands around the routes.

    Args:
        app: the routes.
        cluster_uuid: identity of the installation, sent with every answer.
        authorize: asked for every request but preflight ones.
        origins: allowed at a path of a request plugin; None when no trigger has it.
        max_held_bytes: of all requests together.
    """

    def __init__(
        self,
        app: ASGIApp,
        cluster_uuid: str,
        authorize: Authorizer,
        origins: Callable[[str], tuple[str, ...] | None],
        max_held_bytes: int,
    ) -> None:
        self._app = app
        self._cluster = (b"cluster-uuid", cluster_uuid.encode("ascii"))
        self._authorize = authorize
        self._origins = origins
        self._room = Room(max_held_bytes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        origins = self._origins_of(scope)

        async def stamped(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._stamp(message, scope, origins)
            await _send_in_pieces(message, send)

        early = self._early_answer(scope, origins)
        if early is not None:
            await early(scope, receive, stamped)
            return
        share = self._room.share(scope)
        try:
            await self._app(scope, receive, stamped)
        finally:
            share.release()

    def _origins_of(self, scope: Scope) -> tuple[str, ...] | None:
        """Return the origins that a request plugin's trigger allows, None at other paths."""
        path: str = scope["path"]
        return self._origins(path.removeprefix(_ENGINE)) if path.startswith(_ENGINE) else None

    def _early_answer(self, scope: Scope, origins: tuple[str, ...] | None) -> Response | None:
        if scope["method"] == "OPTIONS":
            return _preflight_answer(scope, origins)
        try:
            self._authorize.check(HTTPConnection(scope))
        except UserError as error:
            return plain_answer(error)
        return None

    def _stamp(self, message: Message, scope: Scope, origins: tuple[str, ...] | None) -> None:
        headers: list[tuple[bytes, bytes]] = list(message.get("headers", ()))
        headers.append(self._cluster)
        has_origin = any(name.lower() == _ALLOW_ORIGIN for name, _ in headers)
        is_good = message["status"] < _FIRST_ERROR_STATUS
        if not has_origin and scope["method"] != "OPTIONS" and (is_good or origins is not None):
            headers += allow_origin(origins or ANY, HTTPConnection(scope).headers.get("origin"))
        message["headers"] = headers


async def _send_in_pieces(message: Message, send: Send) -> None:
    """Send a message, a large body piece by piece: each waits until the client has taken more.

    Only so is a request not over before its answer has left the memory.
    """
    body: bytes = message.get("body", b"")
    for at in range(0, len(body) - _PIECE_BYTES, _PIECE_BYTES):
        piece = body[at : at + _PIECE_BYTES]
        await send({"type": message["type"], "body": piece, "more_body": True})
    if len(body) > _PIECE_BYTES:
        rest = (len(body) - 1) // _PIECE_BYTES * _PIECE_BYTES
        message = {**message, "body": body[rest:]}
    await send(message)


def _preflight_answer(scope: Scope, origins: tuple[str, ...] | None) -> Response:
    if origins is None:
        return Response(status_code=204, headers=_PREFLIGHT)
    asked = HTTPConnection(scope).headers
    answer = Response(status_code=204)
    answer.raw_headers += preflight(
        origins, asked.get("origin"), asked.get("access-control-request-headers")
    )
    return answer
