"""Fields of a request, from its query string or a JSON object, with the complaints of upstream.

Both sources answer the same questions, because some endpoints take either. Texts of errors follow
serde, the library whose messages clients of InfluxDB 3 know. Pure.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Protocol
from urllib.parse import parse_qsl

from starlette.requests import Request

from engine.errors import InvalidParameter
from engine.http.errors import UnsupportedMediaType

__all__ = ["Fields", "JsonFields", "QueryFields", "form_decode", "require_json"]

_SYNTAX = {
    "Expecting value": "expected value",
    "Expecting ',' delimiter": "expected `,` or `}`",
    "Expecting ':' delimiter": "expected `:`",
    "Expecting property name enclosed in double quotes": "key must be a string",
    "Illegal trailing comma before end of object": "trailing comma",
    "Illegal trailing comma before end of array": "trailing comma",
    "Extra data": "trailing characters",
    "Unterminated string starting at": "EOF while parsing a string",
    "Invalid control character at": "control character found while parsing a string",
}


class Fields(Protocol):
    """Named values of a request; each method raises InvalidParameter on a wrong or missing one."""

    def text(self, name: str) -> str:
        """Return a text that must be there."""
        ...

    def optional_text(self, name: str) -> str | None:
        """Return a text, or None when it is absent."""
        ...

    def flag(self, name: str, *, default: bool) -> bool:
        """Return a boolean, or the default when it is absent."""
        ...


def form_decode(query: bytes) -> list[tuple[str, str]]:
    """Decode a query string as HTML forms are encoded; a key without `=` has an empty value."""
    text = query.decode(errors="replace")
    return parse_qsl(text, keep_blank_values=True, errors="replace")


def require_json(request: Request) -> None:
    """Check the content type of a JSON endpoint.

    Raises:
        UnsupportedMediaType: it is neither `application/json` nor `application/*+json`.
    """
    media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    is_suffixed = media.startswith("application/") and media.endswith("+json")
    if media != "application/json" and not is_suffixed:
        raise UnsupportedMediaType


class QueryFields:
    """Fields of a query string."""

    def __init__(self, query: bytes) -> None:
        self._values: dict[str, list[str]] = {}
        for name, value in form_decode(query):
            self._values.setdefault(name, []).append(value)

    def text(self, name: str) -> str:
        """Return a text that must be there."""
        value = self.optional_text(name)
        if value is None:
            raise InvalidParameter(f"serde error: missing field `{name}`")
        return value

    def optional_text(self, name: str) -> str | None:
        """Return a text, or None when it is absent."""
        values = self._values.get(name, [])
        if len(values) > 1:
            raise InvalidParameter(f"serde error: duplicate field `{name}`")
        return values[0] if values else None

    def flag(self, name: str, *, default: bool) -> bool:
        """Return `true` or `false`, or the default when it is absent."""
        match self.optional_text(name):
            case None:
                return default
            case "true":
                return True
            case "false":
                return False
            case _:
                raise InvalidParameter("serde error: provided string was not `true` or `false`")


class JsonFields:
    """Fields of a JSON object; unknown ones are ignored."""

    def __init__(self, values: Mapping[str, object], end: str) -> None:
        self._values = values
        self._end = end  # the position of the object's end, in words

    def text(self, name: str) -> str:
        """Return a text that must be there."""
        if name not in self._values:
            raise self._refused(f"missing field `{name}`")
        return self._text(name)

    def optional_text(self, name: str) -> str | None:
        """Return a text, or None when it is absent or null."""
        return None if self._values.get(name) is None else self._text(name)

    def flag(self, name: str, *, default: bool) -> bool:
        """Return a boolean, or the default when it is absent."""
        value = self._values.get(name, default)
        if not isinstance(value, bool):
            raise self._refused(f"invalid type: {_kind(value)}, expected a boolean")
        return value

    def mapping(self, name: str) -> Mapping[str, object] | None:
        """Return a JSON object, or None when it is absent or null."""
        value = self._values.get(name)
        if value is not None and not isinstance(value, dict):
            raise self._refused(f"invalid type: {_kind(value)}, expected a map")
        return value

    def sequence(self, name: str) -> list[object]:
        """Return a JSON array that must be there."""
        if name not in self._values:
            raise self._refused(f"missing field `{name}`")
        value = self._values[name]
        if not isinstance(value, list):
            raise self._refused(f"invalid type: {_kind(value)}, expected a sequence")
        return value

    def texts(self, name: str) -> list[str]:
        """Return a JSON array of texts that must be there."""
        texts: list[str] = []
        for value in self.sequence(name):
            if not isinstance(value, str):
                raise self._refused(f"invalid type: {_kind(value)}, expected a string")
            texts.append(value)
        return texts

    def has(self, name: str) -> bool:
        """Whether a field is there and not null."""
        return self._values.get(name) is not None

    def nested(self, name: str) -> JsonFields | None:
        """Return the fields of an object inside this one, or None when it is absent or null."""
        values = self.mapping(name)
        return None if values is None else JsonFields(values, self._end)

    @classmethod
    def parse(cls, body: bytes) -> JsonFields:
        """Read a JSON object."""
        return cls(*_parse_object(body))

    @property
    def values(self) -> Mapping[str, object]:
        """Every field as it is."""
        return self._values

    def _text(self, name: str) -> str:
        value = self._values[name]
        if not isinstance(value, str):
            raise self._refused(f"invalid type: {_kind(value)}, expected a string")
        return value

    def _refused(self, complaint: str) -> InvalidParameter:
        return InvalidParameter(f"serde json error: {complaint} {self._end}")


def _parse_object(body: bytes) -> tuple[dict[str, object], str]:
    """Return the object and the position of its end in words."""
    try:
        text = body.decode().rstrip()
        value = json.loads(text, parse_constant=_refuse_constant)
    except UnicodeDecodeError as error:
        raise InvalidParameter("serde json error: invalid unicode code point") from error
    except json.JSONDecodeError as error:
        raise InvalidParameter(f"serde json error: {_syntax(error)}") from error
    except RecursionError as error:
        raise InvalidParameter("serde json error: recursion limit exceeded") from error
    except ValueError as error:  # an integer of thousands of digits
        raise InvalidParameter("serde json error: number out of range") from error
    end = f"at line {text.count(chr(10)) + 1} column {len(text) - text.rfind(chr(10)) - 1}"
    if not isinstance(value, dict):
        raise InvalidParameter(
            f"serde json error: invalid type: {_kind(value)}, expected a map {end}"
        )
    return value, end


def _syntax(error: json.JSONDecodeError) -> str:
    what = _SYNTAX.get(error.msg, error.msg)
    if error.pos >= len(error.doc) and not what.startswith("EOF"):
        what = "EOF while parsing a value"
    return f"{what} at line {error.lineno} column {error.colno}"


def _refuse_constant(text: str) -> object:
    raise json.JSONDecodeError("Expecting value", text, 0)


def _kind(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return f"boolean `{str(value).lower()}`"
        case int():
            return f"integer `{value}`"
        case float():
            return f"floating point `{value}`"
        case str():
            return f"string {json.dumps(value, ensure_ascii=False)}"
        case list():
            return "sequence"
        case _:
            return "map"
