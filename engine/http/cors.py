"""Which pages may read an answer: the headers of cross-origin resource sharing.

Of request plugins each trigger has its own list of origins, where `*` stands for any; everything
else may be read by any page. Pure.

Source: the Fetch standard, "CORS protocol".
"""

from __future__ import annotations

import re
from collections.abc import Sequence

__all__ = ["ANY", "allow_origin", "preflight"]

ANY = ("*",)
Headers = list[tuple[bytes, bytes]]

_METHODS = b"GET, POST, HEAD, OPTIONS"
_MAX_AGE_S = b"86400"
_NAMES = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z, \t-]{1,4000}")


def allow_origin(origins: Sequence[str], origin: str | None) -> Headers:
    """Return what tells the browser whether a page of this origin may read the answer."""
    if "*" in origins:
        return [(b"access-control-allow-origin", b"*")]
    headers = [(b"vary", b"Origin")]
    if origin is not None and origin.lower() in origins:
        headers.append((b"access-control-allow-origin", origin.encode("latin-1")))
    return headers


def preflight(origins: Sequence[str], origin: str | None, names: str | None) -> Headers:
    """Return the headers that answer `OPTIONS` for a request plugin.

    Args:
        origins: that are allowed.
        origin: of the page that asks; None when there is none.
        names: of the headers that the page wants to send. They are repeated rather than allowed
            with `*`, which would leave `Authorization` out.
    """
    headers = allow_origin(origins, origin)
    if all(name != b"access-control-allow-origin" for name, _ in headers):
        return headers
    wanted = names if names is not None and _NAMES.fullmatch(names) else "*"
    return [
        *headers,
        (b"access-control-allow-methods", _METHODS),
        (b"access-control-allow-headers", wanted.encode("ascii")),
        (b"access-control-max-age", _MAX_AGE_S),
    ]
