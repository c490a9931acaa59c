"""How one field of a message looks on the wire, and the strict way back.

A message is a *flat* msgpack array: its fields are numbers, text, bytes or nil, never containers.
What nests (parameters, headers, faults, responses) travels as bytes that hold a flat container of
their own. So a reader refuses any nesting at its first container, before a hostile message of
many small containers can fill the memory.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgpack

from worker.wire.faults import Fault, RemoteWireError
from worker.wire.limits import LIMITS
from worker.wire.messages import Response

__all__ = [
    "BINARY",
    "BOOLEAN",
    "FAULT",
    "HEADERS",
    "INTEGER",
    "OPTIONAL_BINARY",
    "OPTIONAL_FAULT",
    "OPTIONAL_INTEGER",
    "OPTIONAL_NUMBER",
    "OPTIONAL_PARAMETERS",
    "OPTIONAL_RESPONSE",
    "OPTIONAL_TEXT",
    "TEXT",
    "TEXTS_BY_NAME",
    "Field",
    "read_list",
]

_SCALARS = (type(None), bool, int, float, str)


@dataclass(frozen=True, slots=True)
class Field:
    """Both ways of a field; `read` raises RemoteWireError and nothing else."""

    write: Callable[[Any], Any]
    read: Callable[[Any], Any]


def read_list(packed: bytes | bytearray, most: int) -> list[Any]:
    """Read a flat msgpack array of at most so many scalars."""
    items = _unpack(packed, max_array_len=most, max_map_len=0)
    if type(items) is not list:
        raise RemoteWireError(f"expected a list, got {type(items).__name__}")
    return items


def _read_map(packed: object) -> dict[str, Any]:
    if len(_read_binary(packed)) > LIMITS.nested_bytes:
        raise RemoteWireError("a map is too large")
    items = _unpack(packed, max_array_len=0, max_map_len=LIMITS.parameters)
    if type(items) is not dict or not all(type(key) is str for key in items):
        raise RemoteWireError("expected a map with text keys")
    return items


class _OnlyOne:
    """Lets one container pass, and ends the reading at the second."""

    __slots__ = ("_is_used",)

    def __init__(self) -> None:
        self._is_used = False

    def take(self, container: Any) -> Any:  # noqa: ANN401 - a list or the pairs of a map
        if self._is_used:
            raise RemoteWireError("a container inside another")
        self._is_used = True
        return container

    def take_pairs(self, pairs: list[tuple[Any, Any]]) -> dict[Any, Any]:
        return dict(self.take(pairs))


def _unpack(packed: object, **limits: int) -> Any:  # noqa: ANN401 - bytes from elsewhere
    one = _OnlyOne()
    try:
        return msgpack.unpackb(
            packed, list_hook=one.take, object_pairs_hook=one.take_pairs, max_ext_len=0, **limits
        )
    except RemoteWireError:
        raise
    except (ValueError, TypeError, OverflowError, msgpack.UnpackException) as error:
        raise RemoteWireError(f"not a message: {error}") from error


def _exactly(*types: type) -> Callable[[Any], Any]:
    wanted = " or ".join(kind.__name__ for kind in types)

    def read(value: Any) -> Any:  # noqa: ANN401 - any scalar
        if type(value) not in types:
            raise RemoteWireError(f"expected {wanted}, got {type(value).__name__}")
        return value

    return read


_read_binary = _exactly(bytes)
_read_text = _exactly(str)
_read_integer = _exactly(int)


def _as_is(value: Any) -> Any:  # noqa: ANN401 - any scalar
    return value


def _optional(field: Field) -> Field:
    return Field(
        write=lambda value: None if value is None else field.write(value),
        read=lambda value: None if value is None else field.read(value),
    )


def _write_map(values: Any) -> bytes:  # noqa: ANN401 - a mapping
    packed: bytes = msgpack.packb(dict(values))
    return packed


def _read_parameters(packed: Any) -> dict[str, Any]:  # noqa: ANN401 - any scalar
    parameters = _read_map(packed)
    if not all(type(value) in _SCALARS for value in parameters.values()):
        raise RemoteWireError("a parameter is neither nil, bool, int, float nor text")
    return parameters


def _read_texts(packed: Any) -> dict[str, str]:  # noqa: ANN401 - any scalar
    texts = _read_map(packed)
    if not all(type(value) is str for value in texts.values()):
        raise RemoteWireError("a map value is not text")
    return texts


def _write_fault(fault: Fault) -> bytes:
    packed: bytes = msgpack.packb([fault.code, fault.message, fault.traceback])
    return packed


def _read_fault(packed: Any) -> Fault:  # noqa: ANN401 - any scalar
    texts = read_list(_read_binary(packed), 3)
    if len(texts) != 3 or not all(type(text) is str for text in texts):  # noqa: PLR2004 - a fault
        raise RemoteWireError("a fault is three texts")
    return Fault(*texts)


def _write_headers(headers: tuple[tuple[str, str], ...]) -> bytes:
    packed: bytes = msgpack.packb([text for pair in headers for text in pair])
    return packed


def _read_headers(packed: Any) -> tuple[tuple[str, str], ...]:  # noqa: ANN401 - any scalar
    return _pairs(read_list(_read_binary(packed), 2 * LIMITS.parameters))


def _pairs(texts: list[Any]) -> tuple[tuple[str, str], ...]:
    if len(texts) % 2 or not all(type(text) is str for text in texts):
        raise RemoteWireError("headers are pairs of texts")
    return tuple(zip(texts[::2], texts[1::2], strict=True))


def _write_response(response: Response) -> bytes:
    headers = [text for pair in response.headers for text in pair]
    packed: bytes = msgpack.packb([response.status, response.body, *headers])
    return packed


def _read_response(packed: Any) -> Response:  # noqa: ANN401 - any scalar
    items = read_list(_read_binary(packed), 2 + 2 * LIMITS.parameters)
    if len(items) < 2:  # noqa: PLR2004 - status and body
        raise RemoteWireError("a response is a status, a body and pairs of header texts")
    status, body, *texts = items
    return Response(_read_integer(status), _pairs(texts), _read_binary(body))


TEXT = Field(_as_is, _read_text)
BINARY = Field(_as_is, _read_binary)
INTEGER = Field(_as_is, _read_integer)
BOOLEAN = Field(_as_is, _exactly(bool))
FAULT = Field(_write_fault, _read_fault)
HEADERS = Field(_write_headers, _read_headers)
TEXTS_BY_NAME = Field(_write_map, _read_texts)
OPTIONAL_TEXT = _optional(TEXT)
OPTIONAL_BINARY = _optional(BINARY)
OPTIONAL_INTEGER = _optional(INTEGER)
OPTIONAL_NUMBER = _optional(Field(float, _exactly(float)))
OPTIONAL_FAULT = _optional(FAULT)
OPTIONAL_PARAMETERS = _optional(Field(_write_map, _read_parameters))
OPTIONAL_RESPONSE = _optional(Field(_write_response, _read_response))
