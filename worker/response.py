"""What `process_request` may return, turned into status, headers and body.

Two orders of a tuple are understood. Core's follows Flask: (body, status, headers). The published
documentation shows (status, headers, body), which Core refuses; a tuple is read so when it starts
with an int from 100 to 599 and holds a dict or None second and something third, or a body and
nothing else second. Bytes are a body here, which they are not in Core, and a header
given twice in different spelling stands once. Pure.

Source: InfluxDB 3 Core plugin API, "process_request return values".
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from worker.wire.messages import Response

__all__ = ["InvalidResponse", "make_response"]

_HTML = "text/html"
_STATUSES = range(100, 1000)
_DOCUMENTED_STATUSES = range(100, 600)
_NAME_CHARACTERS = frozenset(
    "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
)
Headers = dict[str, tuple[str, str]]


class InvalidResponse(Exception):
    """The returned value is no response; the text is the whole message."""


def make_response(returned: object) -> Response:
    """Turn a returned value into a response.

    Raises:
        InvalidResponse: it is none.
        Exception: what the value itself raised while it was read, as `json.dumps` does.
    """
    if _is_flask_like(returned):
        return _from_flask(returned)
    match returned:
        case tuple() if 1 <= len(returned) <= 3:  # noqa: PLR2004 - body, status, headers
            return _from_tuple(returned)
        case str():
            return _respond(200, returned.encode(), _HTML)
        case bytes() | bytearray() | memoryview():
            return _respond(200, bytes(returned), "application/octet-stream")
        case dict() | list():
            return _respond(200, json.dumps(returned).encode(), "application/json")
        case Iterable():
            return _respond(200, _join(returned), _HTML)
        case _:
            raise InvalidResponse("Unsupported return type from Python function")


def _is_flask_like(returned: object) -> bool:
    probe = getattr(returned, "__flask_response__", None)
    if callable(probe):
        return probe() is True
    # The real flask.Response answers no probe; its own attributes tell it.
    return all(hasattr(returned, name) for name in ("status_code", "get_data", "headers"))


def _from_flask(returned: Any) -> Response:  # noqa: ANN401 - a duck
    body = returned.get_data()
    given = getattr(returned, "headers", None) or {}
    return _respond(_status(returned.status_code), _text_or_bytes(body), _HTML, given)


def _from_tuple(returned: tuple[Any, ...]) -> Response:
    if _is_documented_order(returned):
        status, *middle = returned
        headers = middle[0] if len(middle) > 1 else None
        body, content_type = _body_and_type(middle[-1])
        return _respond(status, body, content_type, headers or {})
    body, content_type = _body_and_type(returned[0])
    second = returned[1] if len(returned) > 1 else None
    status = _status(second) if isinstance(second, int) else 200
    headers = dict(second) if isinstance(second, dict) else {}
    if len(returned) == 3:  # noqa: PLR2004 - headers come third
        if not isinstance(returned[2], dict):
            raise InvalidResponse("expected a dictionary in header item")
        headers.update(returned[2])
    return _respond(status, body, content_type, headers)


def _is_documented_order(returned: tuple[Any, ...]) -> bool:
    if type(returned[0]) is not int or returned[0] not in _DOCUMENTED_STATUSES:
        return False
    match returned:
        case (_, None | dict(), _):
            return True
        case (_, str() | bytes() | list()):
            return True
        case _:
            return False


def _body_and_type(item: object) -> tuple[bytes, str]:
    match item:
        case str():
            return item.encode(), _HTML
        case bytes() | bytearray() | memoryview():
            return bytes(item), "application/octet-stream"
        case dict() | list():
            return json.dumps(item).encode(), "application/json"
        case _:
            return str(item).encode(), "text/plain"


def _text_or_bytes(body: object) -> bytes:
    if isinstance(body, str):
        return body.encode()
    if isinstance(body, bytes | bytearray | memoryview):
        return bytes(body)
    raise InvalidResponse(f"get_data() must return str or bytes, not {type(body).__name__}")


def _join(parts: Iterable[object]) -> bytes:
    joined = bytearray()
    for part in parts:
        if isinstance(part, str):
            joined += part.encode()
        elif isinstance(part, bytes):
            joined += part
    return bytes(joined)


def _status(given: int) -> int:
    status = int(given)
    if status not in _STATUSES:
        raise InvalidResponse(f"invalid status code: {status}")
    return status


def _respond(
    status: int,
    body: bytes,
    content_type: str,
    given: Mapping[Any, Any] | Iterable[tuple[Any, Any]] = (),
) -> Response:
    headers: Headers = {"content-type": ("Content-Type", content_type)}
    pairs = given.items() if isinstance(given, Mapping) else given
    for name, value in pairs:
        headers[_header_name(name).lower()] = (name, _header_value(value))
    return Response(status, tuple(headers.values()), body)


def _header_name(name: object) -> str:
    if not isinstance(name, str) or not name or not _NAME_CHARACTERS.issuperset(name):
        raise InvalidResponse(f"invalid header name: {name!r}")
    return name


def _header_value(value: object) -> str:
    """Return the text of a value, empty when a header cannot carry it."""
    text = str(value)
    fits = all(" " <= character <= "\xff" or character == "\t" for character in text)
    return text if fits and "\x7f" not in text else ""
