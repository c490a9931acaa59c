"""How a hostile plugin finds its own conversation with the engine."""

from __future__ import annotations

import os
import socket
import sys
from typing import Any


def own_connections() -> list[socket.socket]:
    """Return copies of the unix sockets that lead to the engine."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        try:
            one = socket.socket(fileno=os.dup(int(name)))
            if one.family == socket.AF_UNIX and one.getpeername():
                found.append(one)
                continue
            one.detach()
        except OSError:
            continue
    return found


def own_endpoint() -> str:
    """Return the path at which the engine listens for this worker."""
    paths = [str(one.getpeername()) for one in own_connections()]
    if not paths:
        raise OSError("no connection to the engine was found")
    return paths[0]


def engine_code() -> dict[str, Any]:
    """Find the names of the worker's own code, which is hidden but has called us."""
    frame = sys._getframe()
    while frame is not None:
        if frame.f_globals.get("__name__") == "worker.serve" and "lane" in frame.f_locals:
            return {**frame.f_globals, "lane": frame.f_locals["lane"]}
        frame = frame.f_back
    raise LookupError("there is no frame of the worker's")


def say(message: str, *values: object) -> None:
    """Send a message of the protocol that is not due."""
    code = engine_code()
    lane = code["lane"]
    encode = type(lane).send.__globals__["encode"]
    lane._socket.send(encode(getattr(code["m"], message)(*values)))
