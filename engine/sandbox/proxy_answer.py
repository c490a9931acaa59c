"""The head of an answer on its way back: it says that the connection ends, whatever the host said.

A host that was asked to close often does so without saying it. A client would keep the connection
for its next request, and that request would meet the end.
Pure; any thread may call.

Source: RFC 9112 (9.6), RFC 9110 (15.2).
"""

from __future__ import annotations

import re

from engine.sandbox.proxy_request import HEAD_END

__all__ = ["closing", "is_interim"]

_STATUS_LINE = re.compile(rb"HTTP/1\.[01] ([0-9])[0-9]{2}(?: [^\r\n]*)?")
_OF_THE_CONNECTION = (b"connection", b"keep-alive", b"proxy-connection")


def closing(head: bytes) -> bytes:
    """Return a head that ends the connection; what is no head, or not the last one, as it is."""
    first, *lines = head.removesuffix(HEAD_END).split(b"\r\n")
    if _STATUS_LINE.fullmatch(first) is None or is_interim(head):
        return head
    kept = (line for line in lines if line.partition(b":")[0].lower() not in _OF_THE_CONNECTION)
    return b"\r\n".join([first, *kept, b"connection: close"]) + HEAD_END


def is_interim(head: bytes) -> bool:
    """Tell whether another head follows, as after `100 Continue`."""
    line = _STATUS_LINE.fullmatch(head.partition(b"\r\n")[0])
    return line is not None and line[1] == b"1"
