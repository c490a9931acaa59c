"""From errors to answers: status and body for every error that leaves the engine over HTTP.

Most bodies are plain text, some JSON, as clients of InfluxDB 3 expect; `plain_answer` holds what
all endpoints share, each family of endpoints has its own where it differs. Pure functions; called
in the event loop's thread.
"""

from __future__ import annotations

import json
from collections.abc import Callable

from starlette.responses import Response

from engine.errors import (
    DatabaseNotFound,
    EmptyWrite,
    EngineError,
    EngineFault,
    InvalidDatabaseName,
    InvalidParameter,
    InvalidPrecision,
    LimitExceeded,
    PluginFailed,
    PluginFileError,
    RunTimedOut,
    SoftDeletedDatabase,
    UnknownEndpoint,
    UserError,
    WorkerDied,
    WorkerOverLimit,
)

__all__ = [
    "ErrorAnswer",
    "RequestTooLarge",
    "SlowBody",
    "UnexpectedFault",
    "UnsupportedMediaType",
    "json_answer",
    "plain_answer",
    "query_answer",
    "text_answer",
    "v1_answer",
    "v2_answer",
]

ErrorAnswer = Callable[[EngineError], Response]

_V2_CODES = {
    400: "invalid",
    401: "unauthorized",
    403: "forbidden",
    404: "not found",
    413: "request too large",
    422: "invalid",
    503: "unavailable",
}

_PASSING_STATUSES = (429, 503)
_RETRY_AFTER_S = "1"


class RequestTooLarge(UserError):
    """A body is larger than the server takes, as sent or after decompression."""

    code = "request_too_large"
    http_status = 413

    def __init__(self, max_bytes: int) -> None:
        super().__init__(f"max request size ({max_bytes} bytes) exceeded")


class UnsupportedMediaType(UserError):
    """A JSON endpoint was sent something else."""

    code = "unsupported_media_type"
    http_status = 415

    def __init__(self) -> None:
        super().__init__("unacceptable content-type, expected: application/json")


class SlowBody(UserError):
    """A body stopped coming before its end."""

    code = "slow_body"
    http_status = 408

    def __init__(self, idle_s: float) -> None:
        super().__init__(f"no byte of the request body came for {idle_s:g} seconds")


class UnexpectedFault(EngineFault):
    """A defect of ours; the log has the traceback."""

    code = "unexpected_fault"

    def __init__(self) -> None:
        super().__init__("internal error; the server's log has the details")


def text_answer(status: int, text: str) -> Response:
    """Answer with plain text."""
    return Response(text, status, media_type="text/plain")


def json_answer(status: int, body: object) -> Response:
    """Answer with compact JSON."""
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    return Response(text.encode(errors="replace"), status, media_type="application/json")


def plain_answer(error: EngineError) -> Response:
    """Answer an error as every endpoint does that has no rule of its own."""
    match error:
        case UnknownEndpoint():
            # Not JSON, but exactly what clients of InfluxDB 3 compare with.
            answer = text_answer(404, '{error: "not found"}')
        case InvalidDatabaseName() | LimitExceeded() | PluginFailed() | WorkerDied():
            answer = json_answer(error.http_status, {"error": str(error)})
        case RunTimedOut() | SoftDeletedDatabase() | WorkerOverLimit():
            answer = json_answer(error.http_status, {"error": str(error)})
        case PluginFileError():
            answer = text_answer(error.http_status, f"Plugin error: {error}")
        case EmptyWrite():
            answer = text_answer(400, "incoming write was empty")
        case _:
            answer = text_answer(error.http_status, str(error))
    return _with_retry(answer)


def query_answer(error: EngineError) -> Response:
    """Answer an error of a query."""
    if isinstance(error, DatabaseNotFound):
        return json_answer(404, {"error": f"query error: {error}"})
    return plain_answer(error)


def v1_answer(error: EngineError) -> Response:
    """Answer an error of the v1 write endpoint."""
    if isinstance(error, InvalidParameter | InvalidPrecision):
        return json_answer(400, {"error": str(error)})
    return plain_answer(error)


def v2_answer(error: EngineError) -> Response:
    """Answer an error of the v2 write endpoint, which has a form of its own."""
    status = 400 if error.http_status == 422 else error.http_status  # noqa: PLR2004  v2 has no 422
    code = _V2_CODES.get(status, "internal error")
    return _with_retry(json_answer(status, {"code": code, "message": str(error)}))


def _with_retry(answer: Response) -> Response:
    if answer.status_code in _PASSING_STATUSES:
        answer.headers["retry-after"] = _RETRY_AFTER_S
    return answer
