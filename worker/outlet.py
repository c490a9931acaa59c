"""The way out of a worker that was granted hosts: a listener of its own that the engine answers.

The listener is made here, inside the worker's network namespace, and served by the engine's proxy
outside of it; what a plugin sends to it is checked there. Called once, before the process is
sealed and before any foreign code runs; a plugin could make no such socket any more.
"""

from __future__ import annotations

import socket

__all__ = ["open_outlet", "proxy_variables"]

_LOOPBACK = "127.0.0.1"
_BACKLOG = 64
_USER = "bulkhead"
_NAMES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")


def open_outlet(descriptor: int) -> int:
    """Make the listener, hand it to the engine and let go of it.

    Args:
        descriptor: of the socket that was inherited for this; it is closed.

    Returns:
        The port at which the engine will answer.

    Raises:
        OSError: there is no loopback, or the engine is gone.
    """
    with (
        socket.socket(fileno=descriptor) as channel,
        socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener,
    ):
        listener.bind((_LOOPBACK, 0))
        listener.listen(_BACKLOG)
        port = int(listener.getsockname()[1])
        socket.send_fds(channel, [b"\0"], [listener.fileno()])
        return port


def proxy_variables(port: int, token: str) -> dict[str, str]:
    """Return the variables by which programs and libraries find the proxy.

    Args:
        port: as `open_outlet` returned it.
        token: by which the engine knows its worker; letters and digits.
    """
    proxy = f"http://{_USER}:{token}@{_LOOPBACK}:{port}"
    variables = dict.fromkeys(_NAMES, proxy)
    # Empty, so that nothing is tried past it, not even what is called localhost.
    variables["NO_PROXY"] = ""
    return variables | {name.lower(): value for name, value in variables.items()}
