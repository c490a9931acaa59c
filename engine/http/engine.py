"""Requests to plugins: `/api/v3/engine/<path>`.

What a plugin answers is not trusted: status and headers go out only when they are valid HTTP, and
headers that frame the message are ours alone. `HEAD` runs the plugin as `GET` does, which is not
told of it; only the body stays behind.
"""

from __future__ import annotations

import logging
import re
from concurrent.futures import Future
from dataclasses import replace

from starlette.requests import Request
from starlette.responses import Response

from engine.errors import InvalidParameter, PluginFailed
from engine.http.bodies import read_body
from engine.http.compression import accepts_gzip, compressed, is_compressible
from engine.http.endpoint import blocking, result_for
from engine.http.fields import form_decode
from engine.http.parts import WITHOUT_BODY, PartsAnswer
from engine.http.room import share_of
from engine.http.services import HttpServices
from engine.model.event import PluginResponse, RequestEvent
from worker.wire import LIMITS

__all__ = ["EngineEndpoints", "event_headers", "plugin_answer"]

log = logging.getLogger(__name__)

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_FRAMING = frozenset(
    (
        "cluster-uuid",
        "connection",
        "content-length",
        "date",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    )
)
_FIRST_FINAL_STATUS, _LAST_STATUS = 200, 599
_MAX_BODY_BYTES = LIMITS.message_bytes - LIMITS.nested_bytes  # beside headers and query


class EngineEndpoints:
    """Hands a request to the trigger that serves its path."""

    def __init__(self, services: HttpServices) -> None:
        self._requests = services.requests
        most = min(services.limits.max_request_bytes, _MAX_BODY_BYTES)
        self._limits = replace(services.limits, max_request_bytes=most)

    async def serve(self, request: Request) -> Response:
        """Run the plugin and answer what it answers."""
        event = RequestEvent(
            query=_bounded("query parameters", dict(form_decode(request.scope["query_string"]))),
            headers=_bounded("headers", event_headers(request.scope["headers"])),
            body=await read_body(request, self._limits),
        )
        share = share_of(request)
        share.take(0)
        submitted = self._requests.submit(request.path_params["path"], event)
        try:
            response = await result_for(request, submitted)
            if accepts_gzip(request.headers.get("accept-encoding", "")):
                response = await _compress(response)
            if isinstance(response.body, bytes):
                share.hold(len(response.body))  # its run is over, so it is too late to refuse
            return plugin_answer(response)
        except BaseException:
            submitted.add_done_callback(_abandon)
            raise


def event_headers(headers: list[tuple[bytes, bytes]]) -> dict[str, str]:
    """Return the headers that a plugin sees: lower-case names, the last value, no credentials."""
    return {
        name.decode("latin-1").lower(): value.decode("latin-1")
        for name, value in headers
        if name.lower() != b"authorization"
    }


def plugin_answer(response: PluginResponse) -> Response:
    """Return the HTTP answer to a plugin's response.

    Raises:
        PluginFailed: the status is not one of a final answer, or a header's name is no name.
    """
    if not _FIRST_FINAL_STATUS <= response.status <= _LAST_STATUS:
        raise PluginFailed(f"the plugin answered with the invalid status {response.status}")
    if not isinstance(response.body, bytes):
        return PartsAnswer(response.status, _wire_headers(response.headers), response.body)
    body = b"" if response.status in WITHOUT_BODY else response.body
    answer = Response(body, response.status)
    answer.raw_headers = [
        *((name, value) for name, value in answer.raw_headers if name == b"content-length"),
        *_wire_headers(response.headers),
    ]
    return answer


def _bounded(what: str, texts: dict[str, str]) -> dict[str, str]:
    if len(texts) > LIMITS.parameters:
        raise InvalidParameter(f"{len(texts)} {what}; at most {LIMITS.parameters} are taken")
    return texts


async def _compress(response: PluginResponse) -> PluginResponse:
    if not is_compressible(response):
        return response
    return await blocking(lambda: compressed(response))


def _abandon(submitted: Future[PluginResponse]) -> None:
    """Tell the maker of a body in parts that nobody takes it."""
    if submitted.cancelled() or submitted.exception() is not None:
        return
    body = submitted.result().body
    if not isinstance(body, bytes):
        body.abandon()


def _wire_headers(headers: tuple[tuple[str, str], ...]) -> list[tuple[bytes, bytes]]:
    wire: list[tuple[bytes, bytes]] = []
    for name, value in headers:
        if not _HEADER_NAME.fullmatch(name):
            raise PluginFailed(f"the plugin answered with the invalid header name {name[:100]!r}")
        if name.lower() in _FRAMING:
            log.debug("header of a plugin left out", extra={"header": name})
            continue
        shown = value if _HEADER_VALUE.fullmatch(value) else ""
        wire.append((name.encode("ascii"), shown.encode("latin-1")))
    return wire
