"""Answers of plugins as gzip, for clients that ask for it.

Only whole bodies of text-like types that are worth it: a stream goes out as it comes, and what the
plugin has encoded or named by an entity tag is left as it is. Pure.
"""

from __future__ import annotations

import gzip
import re
from dataclasses import replace

from engine.model.event import PluginResponse

__all__ = ["accepts_gzip", "compressed", "is_compressible"]

_MIN_BYTES = 1024
_LEVEL = 5
_TEXT = re.compile(
    r"text/.*|application/(json|javascript|xml|x-ndjson|jsonl|sql|yaml|toml|.*\+(json|xml))"
    r"|image/svg\+xml"
)
_WHOLE = frozenset((200, 201, 202, 203)) | frozenset(range(400, 600))
_HANDS_OFF = frozenset(("content-encoding", "etag", "content-range", "content-md5", "digest"))


def accepts_gzip(accept_encoding: str) -> bool:
    """Whether an `Accept-Encoding` header allows gzip; what is not named is not asked for."""
    for item in accept_encoding.lower().split(","):
        coding, *parameters = (part.strip() for part in item.split(";"))
        if coding in {"gzip", "x-gzip"}:
            return not any(re.fullmatch(r"q=0(\.0*)?", each) for each in parameters)
    return False


def is_compressible(response: PluginResponse) -> bool:
    """Whether a response gains from it and may be changed."""
    if isinstance(response.body, bytes) and len(response.body) > _MIN_BYTES:
        headers = {name.lower(): value for name, value in response.headers}
        media = headers.get("content-type", "").partition(";")[0].strip().lower()
        may_be = "no-transform" not in headers.get("cache-control", "").lower()
        return (
            response.status in _WHOLE
            and may_be
            and _TEXT.fullmatch(media) is not None
            and not _HANDS_OFF.intersection(headers)
        )
    return False


def compressed(response: PluginResponse) -> PluginResponse:
    """Return the response with its body compressed; takes time in proportion to the body."""
    if not isinstance(response.body, bytes):
        return response
    extra = (("Content-Encoding", "gzip"), ("Vary", "Accept-Encoding"))
    return replace(
        response,
        headers=(*response.headers, *extra),
        body=gzip.compress(response.body, _LEVEL, mtime=0),
    )
