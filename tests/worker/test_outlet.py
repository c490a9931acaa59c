import socket

import pytest

from worker.outlet import open_outlet, proxy_variables


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_SEQPACKET])
def test_the_listener_is_handed_over_and_the_own_copy_closed(kind: int) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, kind)
    with ours:
        port = open_outlet(theirs.detach())
        _, descriptors, _, _ = socket.recv_fds(ours, 1, 4)
        at_end = ours.recv(1)

    with socket.socket(fileno=descriptors[0]) as listener:
        assert listener.getsockname() == ("127.0.0.1", port)
        with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
            accepted, peer = listener.accept()
            accepted.close()
            assert peer == client.getsockname()
    assert at_end == b""
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=5)


def test_an_engine_that_is_gone_is_an_error() -> None:
    ours, theirs = socket.socketpair()
    ours.close()

    with pytest.raises(OSError, match="Broken pipe"):
        open_outlet(theirs.detach())


def test_every_way_to_name_a_proxy_is_set_and_nothing_goes_past_it() -> None:
    variables = proxy_variables(4711, "abc")

    assert {name for name, value in variables.items() if value} == {
        *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")
    }
    assert variables["https_proxy"] == "http://bulkhead:abc@127.0.0.1:4711"
    assert variables["NO_PROXY"] == variables["no_proxy"] == ""
