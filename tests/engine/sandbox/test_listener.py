import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.errors import ProtocolFault
from engine.sandbox.listener import check_listener, receive_listener


def handed(*descriptors: int, data: bytes = b"\0") -> socket.socket:
    ours, theirs = socket.socketpair()
    with theirs:
        if descriptors:
            socket.send_fds(theirs, [data], list(descriptors))
        elif data:
            theirs.send(data)
    return ours


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_a_listener_on_loopback_comes_over() -> None:
    with socket.create_server(("127.0.0.1", 0)) as made:
        name = made.getsockname()
        with handed(made.fileno()) as channel:
            received = receive_listener(channel, 5.0)

    with received, socket.create_connection(name, timeout=5) as client:
        accepted, peer = received.accept()
        accepted.close()
        assert peer == client.getsockname()


def unbound() -> socket.socket:
    return socket.socket()


def not_listening() -> socket.socket:
    made = socket.socket()
    made.bind(("127.0.0.1", 0))
    return made


def datagrams() -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.bind(("127.0.0.1", 0))
    return made


def unix() -> socket.socket:
    made = socket.socket(socket.AF_UNIX)
    made.bind("\0bulkhead-test-listener")
    made.listen()
    return made


def to_all() -> socket.socket:
    return socket.create_server(("0.0.0.0", 0))  # noqa: S104  is refused


def connected() -> socket.socket:
    with socket.create_server(("127.0.0.1", 0)) as made:
        return socket.create_connection(made.getsockname())


@pytest.mark.parametrize("make", [unbound, not_listening, datagrams, unix, to_all, connected])
def test_any_other_socket_is_refused(make: Callable[[], socket.socket]) -> None:
    with make() as made, handed(made.fileno()) as channel, pytest.raises(ProtocolFault):
        receive_listener(channel, 5.0)


def test_a_file_is_refused() -> None:
    reading, writing = os.pipe()
    with handed(reading) as channel, pytest.raises(ProtocolFault, match="no socket"):
        receive_listener(channel, 5.0)
    os.close(reading)
    os.close(writing)


def test_two_listeners_are_refused_and_let_go_of() -> None:
    before = open_descriptors()
    with socket.create_server(("127.0.0.1", 0)) as made:
        channel = handed(made.fileno(), made.fileno())
        with channel, pytest.raises(ProtocolFault, match="2 listeners"):
            receive_listener(channel, 5.0)

    assert open_descriptors() == before


@pytest.mark.parametrize("data", [b"", b"\0"])
def test_a_worker_that_hands_over_nothing_is_found_out(data: bytes) -> None:
    with handed(data=data) as channel, pytest.raises(ProtocolFault, match="0 listeners"):
        receive_listener(channel, 5.0)


def test_a_worker_that_says_nothing_is_not_waited_for() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, pytest.raises(TimeoutError):
        receive_listener(ours, 0.05)


def test_a_closed_socket_is_refused() -> None:
    made = socket.create_server(("127.0.0.1", 0))
    made.close()

    with pytest.raises(ProtocolFault):
        check_listener(made)
