"""The listener of a worker: made inside its network namespace, handed over, checked before use.

A TCP socket belongs to the namespace it was made in wherever it is held, so the worker makes one
on its own loopback and sends it here; nothing has to forward bytes inside. The sockets that come
by it are of that namespace too, those that the server opens itself are of the server's.

Any thread may call.
"""

from __future__ import annotations

import os
import socket

from engine.errors import ProtocolFault

__all__ = ["check_listener", "receive_listener"]

# More than one is an offence as well; room for it shows it.
_MAX_DESCRIPTORS = 4


def receive_listener(channel: socket.socket, timeout_s: float) -> socket.socket:
    """Wait for the listener of a worker.

    Args:
        channel: the server's end of the socket pair whose other end the worker inherited.
        timeout_s: > 0; how long to wait.

    Raises:
        ProtocolFault: what came is not one listener on a loopback address.
        TimeoutError: nothing came in time.
    """
    channel.settimeout(timeout_s)
    try:
        _, descriptors, _, _ = socket.recv_fds(channel, 1, _MAX_DESCRIPTORS)
    except TimeoutError:
        raise
    except OSError as error:
        raise ProtocolFault(f"a worker handed over no listener: {error}") from error
    if len(descriptors) != 1:
        for descriptor in descriptors:
            os.close(descriptor)
        raise ProtocolFault(f"a worker handed over {len(descriptors)} listeners, not one")
    return _opened(descriptors[0])


def check_listener(listener: socket.socket) -> None:
    """Check that a socket is a TCP listener of IPv4 that only its own machine reaches.

    Raises:
        ProtocolFault: it is not.
    """
    wanted = {
        "family": (socket.SO_DOMAIN, socket.AF_INET),
        "type": (socket.SO_TYPE, socket.SOCK_STREAM),
        "protocol": (socket.SO_PROTOCOL, socket.IPPROTO_TCP),
        "state": (socket.SO_ACCEPTCONN, 1),
    }
    try:
        for name, (option, value) in wanted.items():
            found = listener.getsockopt(socket.SOL_SOCKET, option)
            if found != value:
                raise ProtocolFault(f"a worker's listener has {name} {found}, not {int(value)}")
        host = listener.getsockname()[0]
    except OSError as error:
        raise ProtocolFault(f"a worker handed over no listener: {error}") from error
    if host != "127.0.0.1":
        raise ProtocolFault(f"a worker's listener is bound to {host}, not to 127.0.0.1")


def _opened(descriptor: int) -> socket.socket:
    try:
        listener = socket.socket(fileno=descriptor)
    except OSError as error:
        os.close(descriptor)
        raise ProtocolFault(f"a worker handed over no socket: {error}") from error
    try:
        check_listener(listener)
    except ProtocolFault:
        listener.close()
        raise
    return listener
