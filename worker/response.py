"""What `process_request` may return, turned into status, headers and body.

Two orders of a tuple are understood. Core's follows Flask: (body, status, headers). The published
documentation shows (status, headers, body), which Core refuses; a tuple is read so when it starts
with an int from 100 to 599 and holds a dict or None second and something third, or a body and
nothing else second. Bytes are a body here, which they are not in Core, an iterator is sent as it
goes on, a header that a dict gives in two spellings stands once, and one whose value is a list, or
that comes again in a list of pairs, as often as it is given. Pure.

Source: InfluxDB 3 Core plugin API, "process_request return values".
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sized
from typing import Any

from worker.streaming import BINARY, HTML, Parts, Streamed
from worker.wire.limits import LIMITS
from worker.wire.messages import Response

__all__ = ["InvalidResponse", "make_response"]

_JSON = "application/json"
_STATUSES = range(200, 600)
_DOCUMENTED_STATUSES = range(100, 600)
_NAME_CHARACTERS = frozenset(
    "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
)


class InvalidResponse(Exception):
    """The returned value is no response; the text is the whole message."""


Body = bytes | Parts


def make_response(returned: object) -> Response | Streamed:
    """Turn a returned value into a response; a stream has made its first part.

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
            return _respond(200, returned.encode(), HTML)
        case bytes() | bytearray() | memoryview():
            return _respond(200, bytes(returned), BINARY)
        case dict() | list():
            return _respond(200, json.dumps(returned).encode(), _JSON)
        case Iterable() if isinstance(returned, Sized):
            return _respond(200, _join(returned), HTML)
        case Iterable():
            return _respond(200, *_stream(iter(returned)))
        case _:
            raise InvalidResponse("Unsupported return type from Python function")


def _is_flask_like(returned: object) -> bool:
    probe = getattr(returned, "__flask_response__", None)
    if callable(probe):
        return probe() is True
    # The real flask.Response answers no probe; its own attributes tell it.
    return all(hasattr(returned, name) for name in ("status_code", "get_data", "headers"))


def _from_flask(returned: Any) -> Response | Streamed:  # noqa: ANN401 - a duck
    body = returned.get_data()
    given = getattr(returned, "headers", None) or {}
    return _respond(_status(returned.status_code), _text_or_bytes(body), HTML, given)


def _from_tuple(returned: tuple[Any, ...]) -> Response | Streamed:
    if _is_documented_order(returned):
        status, *middle = returned
        headers = middle[0] if len(middle) > 1 else None
        body, content_type = _body_and_type(middle[-1])
        return _respond(_status(status), body, content_type, headers or {})
    second = returned[1] if len(returned) > 1 else None
    status = _status(second) if isinstance(second, int) else 200
    headers = dict(second) if isinstance(second, dict) else {}
    if len(returned) == 3:  # noqa: PLR2004 - headers come third
        if not isinstance(returned[2], dict):
            raise InvalidResponse("expected a dictionary in header item")
        headers.update(returned[2])
    body, content_type = _body_and_type(returned[0])
    return _respond(status, body, content_type, headers)


def _is_documented_order(returned: tuple[Any, ...]) -> bool:
    if type(returned[0]) is not int or returned[0] not in _DOCUMENTED_STATUSES:
        return False
    match returned:
        case (_, None | dict(), _):
            return True
        case (_, str() | bytes() | list() | Iterator()):
            return True
        case _:
            return False


def _body_and_type(item: object) -> tuple[Body, str]:
    match item:
        case str():
            return item.encode(), HTML
        case bytes() | bytearray() | memoryview():
            return bytes(item), BINARY
        case dict() | list():
            return json.dumps(item).encode(), _JSON
        case Iterator():
            return _stream(item)
        case _:
            return str(item).encode(), "text/plain"


def _stream(items: Iterator[object]) -> tuple[Parts, str]:
    parts = Parts(items)
    return parts, parts.content_type


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
        raise InvalidResponse(f"invalid status code: {status}; it must be from 200 to 599")
    return status


def _respond(
    status: int,
    body: Body,
    content_type: str,
    given: Mapping[Any, Any] | Iterable[tuple[Any, Any]] = (),
) -> Response | Streamed:
    headers = _headers(content_type, given)
    if isinstance(body, Parts):
        return Streamed(status, headers, body)
    return Response(status, headers, body)


def _headers(
    content_type: str, given: Mapping[Any, Any] | Iterable[tuple[Any, Any]]
) -> tuple[tuple[str, str], ...]:
    """Return headers by name; a mapping's later spelling of a name replaces the earlier."""
    lines: dict[str, list[tuple[str, str]]] = {"content-type": [("Content-Type", content_type)]}
    replaces = {"content-type"}
    for name, value in given.items() if isinstance(given, Mapping) else given:
        values = value if isinstance(value, list | tuple) else (value,)
        key = _header_name(name).lower()
        if isinstance(given, Mapping) or key in replaces:
            lines[key] = []
        lines.setdefault(key, []).extend((name, _header_value(each)) for each in values)
    headers = tuple(line for same in lines.values() for line in same)
    if len(headers) > LIMITS.parameters:
        raise InvalidResponse(f"{len(headers)} headers; at most {LIMITS.parameters} can be sent")
    return headers


def _header_name(name: object) -> str:
    if not isinstance(name, str) or not name or not _NAME_CHARACTERS.issuperset(name):
        raise InvalidResponse(f"invalid header name: {name!r}")
    return name


def _header_value(value: object) -> str:
    """Return the text of a value, empty when a header cannot carry it."""
    text = str(value)
    fits = all(" " <= character <= "\xff" or character == "\t" for character in text)
    return text if fits and "\x7f" not in text else ""
