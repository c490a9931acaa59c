"""What happens to every request before its route and to every answer after it.

One ASGI middleware: preflight requests are answered, the authorizer is asked, and answers get the
headers that all of them carry. Runs in the event loop's thread.
"""

from __future__ import annotations

from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from engine.errors import UserError
from engine.http.auth import Authorizer
from engine.http.errors import plain_answer

__all__ = ["Edge"]

_PREFLIGHT = {
    "access-control-allow-origin": "*",
    "access-control-allow-methods": "*",
    "access-control-allow-headers": "*",
    "access-control-max-age": "86400",
}
_ALLOW_ORIGIN = b"access-control-allow-origin"
_FIRST_ERROR_STATUS = 400


class Edge:
    """Stands around the routes.

    Args:
        app: the routes.
        cluster_uuid: identity of the installation, sent with every answer.
        authorize: asked for every request but preflight ones.
    """

    def __init__(self, app: ASGIApp, cluster_uuid: str, authorize: Authorizer) -> None:
        self._app = app
        self._cluster = (b"cluster-uuid", cluster_uuid.encode("ascii"))
        self._authorize = authorize

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""

        async def stamped(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._stamp(message)
            await send(message)

        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        early = self._early_answer(scope)
        if early is not None:
            await early(scope, receive, stamped)
            return
        await self._app(scope, receive, stamped)

    def _early_answer(self, scope: Scope) -> Response | None:
        if scope["method"] == "OPTIONS":
            return Response(status_code=204, headers=_PREFLIGHT)
        try:
            self._authorize.check(HTTPConnection(scope))
        except UserError as error:
            return plain_answer(error)
        return None

    def _stamp(self, message: Message) -> None:
        headers: list[tuple[bytes, bytes]] = list(message.get("headers", ()))
        headers.append(self._cluster)
        has_origin = any(name.lower() == _ALLOW_ORIGIN for name, _ in headers)
        if message["status"] < _FIRST_ERROR_STATUS and not has_origin:
            headers.append((_ALLOW_ORIGIN, b"*"))
        message["headers"] = headers
