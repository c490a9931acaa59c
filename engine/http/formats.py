"""The formats of results: their names, their content types, and what `Accept` asks for.

Rendering itself stands in `engine.query.rows` and never runs in the event loop's thread.
"""

from __future__ import annotations

from enum import Enum

from engine.errors import InvalidParameter

__all__ = ["Format", "accepted_format", "named_format"]


class Format(Enum):
    """How rows are written; the value is the name that clients use."""

    JSON = "json"
    JSONL = "jsonl"
    CSV = "csv"
    PRETTY = "pretty"
    PARQUET = "parquet"

    @property
    def content_type(self) -> str:
        """The content type of a body in this format."""
        return _CONTENT_TYPES[self]


_CONTENT_TYPES = {
    Format.JSON: "application/json",
    Format.JSONL: "application/jsonl",
    Format.CSV: "text/csv",
    Format.PRETTY: "text/plain; charset=utf-8",
    Format.PARQUET: "application/vnd.apache.parquet",
}
_NAMES = {"json_lines": Format.JSONL, **{known.value: known for known in Format}}
_ACCEPTED = {
    "application/vnd.apache.parquet": Format.PARQUET,
    "text/csv": Format.CSV,
    "text/plain": Format.PRETTY,
    "application/json": Format.JSON,
}


def named_format(name: str) -> Format:
    """Return a format by its name.

    Raises:
        InvalidParameter: there is no such format.
    """
    try:
        return _NAMES[name]
    except KeyError:
        known = ", ".join(f"`{known.value}`" for known in Format)
        raise InvalidParameter(
            f"serde error: unknown variant `{name}`, expected one of {known}"
        ) from None


def accepted_format(accept: str | None) -> Format:
    """Return the format that an `Accept` header asks for; JSON when it asks for nothing special.

    Raises:
        InvalidParameter: it asks for a type that is not served.
    """
    if accept is None or "*/*" in accept or "text/html" in accept:
        return Format.JSON
    media = accept.partition(";")[0].strip().lower()
    try:
        return _ACCEPTED[media]
    except KeyError:
        raise InvalidParameter(f"invalid mime type ({accept})") from None
