"""The proxy with real sockets, and with the clients that plugins use."""

import base64
import contextlib
import http.client
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from types import SimpleNamespace

import httpx
import pytest

from engine.errors import Stopping
from engine.model.grants import Grants
from engine.sandbox.conversation import Patience
from engine.sandbox.egress import Egress
from tests.proxying import TOKEN, Internet, Proxy, answer_of, echo, proxied, web

PUBLIC = "93.184.216.34"
AUTHORIZATION = "Basic " + base64.b64encode(b"bulkhead:" + TOKEN.encode()).decode()
QUICK = Patience(head_s=0.2, idle_s=0.2)


def _other_own_address() -> str:
    """Return an address of this machine that is not its loopback, empty when there is none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as trial:
        try:
            trial.connect((PUBLIC, 9))  # nothing is sent
        except OSError:
            return ""
        return str(trial.getsockname()[0])


OTHER_OWN = _other_own_address()


@pytest.fixture
def site() -> Iterator[SimpleNamespace]:
    """A web server at example.org."""
    seen: list[tuple[str, dict[str, str], bytes]] = []
    with web(seen) as port:
        internet = Internet({"example.org": [[PUBLIC]]}, {PUBLIC: port})
        yield SimpleNamespace(internet=internet, seen=seen, port=port)


@pytest.fixture
def mirror() -> Iterator[SimpleNamespace]:
    """A server at example.org that sends everything back."""
    with echo() as port:
        yield SimpleNamespace(internet=Internet({"example.org": [[PUBLIC]]}, {PUBLIC: port}))


def tunnel(proxy: Proxy, target: str, token: str = TOKEN) -> tuple[socket.socket, bytes]:
    """Ask for a tunnel; return the connection and the first line of the answer."""
    connection = proxy.raw()
    credentials = base64.b64encode(f"bulkhead:{token}".encode()).decode()
    head = f"CONNECT {target} HTTP/1.1\r\nProxy-Authorization: Basic {credentials}\r\n\r\n"
    connection.sendall(head.encode())
    line = b""
    while not line.endswith(b"\r\n"):
        line += connection.recv(1)
    return connection, line.strip()


def first_line(proxy: Proxy, target: str) -> bytes:
    """Ask for a tunnel and let go of it."""
    connection, line = tunnel(proxy, target)
    connection.close()
    return line


def ask(proxy: Proxy, *lines: str, body: bytes = b"") -> bytes:
    """Send one request with the token; return all that comes back."""
    fields = [*lines, f"Proxy-Authorization: {AUTHORIZATION}", "", ""]
    with proxy.raw() as connection:
        connection.sendall("\r\n".join(fields).encode() + body)
        return answer_of(connection)


def test_a_plain_request_of_httpx_reaches_a_granted_host(site: SimpleNamespace) -> None:
    with (
        proxied(site.internet, "net=example.org:80") as proxy,
        httpx.Client(proxy=proxy.url) as client,
    ):
        answers = [client.post(f"http://example.org/a/{n}", content=b"abc") for n in range(3)]

    assert [answer.text for answer in answers] == [f"POST /a/{n} 3" for n in range(3)]
    assert answers[0].headers.get_list("connection") == ["close"]
    _, headers, body = site.seen[0]
    assert body == b"abc"
    assert headers["host"] == "example.org"
    assert headers["connection"] == "close"
    assert not [name for name in headers if name.lower().startswith("proxy")]


def test_a_plain_request_of_urllib_reaches_a_granted_host(site: SimpleNamespace) -> None:
    with proxied(site.internet, "net=example.org:80") as proxy:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({"http": proxy.url}))
        with opener.open("http://example.org/a?b=c", timeout=10) as answer:
            text = answer.read()

    assert text == b"GET /a?b=c 0"


def test_a_host_that_says_go_on_first_gets_the_body(site: SimpleNamespace) -> None:
    with proxied(site.internet, "net=example.org:80") as proxy, proxy.raw() as connection:
        lines = [
            "POST http://example.org/a HTTP/1.1",
            "Host: example.org",
            f"Proxy-Authorization: {AUTHORIZATION}",
            "Content-Length: 3",
            "Expect: 100-continue",
        ]
        connection.sendall("\r\n".join([*lines, "", ""]).encode())
        interim = connection.recv(65536)
        connection.sendall(b"abc")
        answer = answer_of(connection)

    assert interim == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answer.endswith(b"connection: close\r\n\r\nPOST /a 3")


def test_bytes_go_both_ways_through_a_tunnel(mirror: SimpleNamespace) -> None:
    content = bytes(range(256)) * 4096

    with proxied(mirror.internet, "net=example.org:443") as proxy:
        connection, line = tunnel(proxy, "example.org:443")
        connection.recv(2)
        sender = threading.Thread(
            target=lambda: (connection.sendall(content), connection.shutdown(socket.SHUT_WR))
        )
        sender.start()
        received = answer_of(connection)
        sender.join()
        connection.close()

    assert line == b"HTTP/1.1 200 Connection established"
    assert received == content
    assert proxy.refused == []


def test_bytes_sent_with_the_head_of_a_tunnel_are_passed_on(mirror: SimpleNamespace) -> None:
    with (
        proxied(mirror.internet, "net=example.org:443") as proxy,
        proxy.raw() as connection,
    ):
        head = f"CONNECT example.org:443 HTTP/1.1\r\nProxy-Authorization: {AUTHORIZATION}\r\n\r\n"
        connection.sendall(head.encode() + b"early")
        connection.shutdown(socket.SHUT_WR)
        received = answer_of(connection)

    assert received.endswith(b"\r\n\r\nearly")


def test_a_client_is_told_which_grant_is_missing(site: SimpleNamespace) -> None:
    with proxied(site.internet, "net=example.org:443") as proxy:
        with httpx.Client(proxy=proxy.url) as client:
            plain = client.get("http://example.org/")
            with pytest.raises(httpx.ProxyError) as httpx_error:
                client.get("https://other.org/")
        handler = urllib.request.ProxyHandler({"https": proxy.url})
        with pytest.raises(urllib.error.URLError) as urllib_error:
            urllib.request.build_opener(handler).open("https://other.org/", timeout=10)

    assert plain.status_code == 403
    assert plain.text == "example.org:80: missing grant net=example.org:80\n"
    assert "403 missing grant net=other.org:443" in str(httpx_error.value)
    assert "403 missing grant net=other.org:443" in str(urllib_error.value)
    assert proxy.refused[0] == (
        "alerts",
        "refused example.org:80: missing grant net=example.org:80",
    )
    assert site.seen == []


@pytest.mark.parametrize(
    "credentials", ["", "bulkhead:wrong", f"other:{TOKEN}", f"bulkhead:{TOKEN}x"]
)
def test_without_the_token_nothing_is_reached(site: SimpleNamespace, credentials: str) -> None:
    with proxied(site.internet, "net=example.org:80") as proxy:
        prefix = f"{credentials}@" if credentials else ""
        with httpx.Client(proxy=f"http://{prefix}127.0.0.1:{proxy.port}") as client:
            answer = client.get("http://example.org/")

    assert answer.status_code == 407
    assert answer.headers["proxy-authenticate"] == 'Basic realm="bulkhead"'
    assert site.internet.connected == []


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "169.254.169.254", "10.0.0.5", "::1", "::ffff:127.0.0.1", "fd00:ec2::254"],
)
def test_a_granted_name_does_not_lead_into_the_house(site: SimpleNamespace, address: str) -> None:
    site.internet.names["example.org"] = [[address]]

    with proxied(site.internet, "net=example.org:*") as proxy:
        line = first_line(proxy, f"example.org:{site.port}")

    assert line.startswith(b"HTTP/1.1 403 example.org has ")
    assert site.internet.connected == []


def test_a_name_that_changes_between_check_and_use_gains_nothing(site: SimpleNamespace) -> None:
    site.internet.names["example.org"] = [[PUBLIC], ["127.0.0.1"]]

    with proxied(site.internet, "net=example.org:*") as proxy:
        first, allowed = tunnel(proxy, "example.org:80")
        refused = first_line(proxy, "example.org:80")
        first.close()

    assert allowed.startswith(b"HTTP/1.1 200")
    assert refused.startswith(b"HTTP/1.1 403")
    assert site.internet.connected == [PUBLIC]


def test_another_address_of_the_name_is_tried_when_one_does_not_answer(
    site: SimpleNamespace,
) -> None:
    site.internet.names["example.org"] = [["10.0.0.5", "1.1.1.1", PUBLIC]]

    with proxied(site.internet, "net=example.org:80") as proxy:
        answer = ask(proxy, "GET http://example.org/ HTTP/1.0")

    assert b" 200 OK" in answer
    assert site.internet.connected == ["1.1.1.1", PUBLIC]


def test_a_private_address_is_reached_when_granted_literally(site: SimpleNamespace) -> None:
    with proxied(site.internet, f"net=127.0.0.1:{site.port}") as proxy:
        answer = ask(proxy, f"GET http://127.0.0.1:{site.port}/a HTTP/1.0")

    assert answer.endswith(b"GET /a 0")


def test_this_server_is_reached_where_it_listens(site: SimpleNamespace) -> None:
    with proxied(Internet(), "net=self", own=("127.0.0.1", site.port)) as proxy:
        url = f"http://localhost:{site.port}/api/v3/engine/alert"
        with httpx.Client(proxy=proxy.url) as client:
            allowed = client.post(url, content=b"{}")
            refused = client.get(f"http://localhost:{site.port}/api/v3/configure/database")
        line = first_line(proxy, f"localhost:{site.port}")

    assert allowed.text == "POST /api/v3/engine/alert 2"
    assert refused.status_code == 403
    assert line == b"HTTP/1.1 403 net=self allows http:// requests, no tunnels"
    assert len(site.seen) == 1


@pytest.mark.skipif(not OTHER_OWN, reason="the machine has its loopback only")
def test_this_server_is_not_reached_by_another_address_of_the_machine(
    site: SimpleNamespace,
) -> None:
    grants = ("net=self", f"net={OTHER_OWN}:*", f"net=own.example:{site.port}")
    internet = Internet({"own.example": [[OTHER_OWN]]}, {OTHER_OWN: site.port})
    own = ("0.0.0.0", site.port)  # noqa: S104  where it is said to listen
    with proxied(internet, *grants, own=own) as proxy:
        by_address = first_line(proxy, f"{OTHER_OWN}:{site.port}")
        by_name = first_line(proxy, f"own.example:{site.port}")
        elsewhere = first_line(proxy, f"{OTHER_OWN}:{site.port + 1}")

    refused = b"HTTP/1.1 403 this server is reached as localhost, with the grant net=self"
    assert [by_address, by_name] == [refused, refused]
    assert elsewhere == b"HTTP/1.1 200 Connection established"
    assert site.seen == []


def test_hosts_that_cannot_be_reached_are_named_as_such(site: SimpleNamespace) -> None:
    site.internet.names["far.org"] = [["1.1.1.1"]]

    with proxied(site.internet, "net=far.org:80", "net=unknown.org:80") as proxy:
        far = ask(proxy, "GET http://far.org/ HTTP/1.0")
        unknown = ask(proxy, "GET http://unknown.org/ HTTP/1.0")

    assert far.startswith(b"HTTP/1.1 502 cannot connect to the host: No route to host\r\n")
    assert unknown.startswith(b"HTTP/1.1 502 unknown.org cannot be resolved")
    assert proxy.refused == []


def test_a_second_request_on_a_connection_goes_nowhere(site: SimpleNamespace) -> None:
    second = b"GET http://example.org/2 HTTP/1.1\r\nHost: other.org\r\n\r\n"

    with proxied(site.internet, "net=example.org:80") as proxy:
        at_once = ask(proxy, "GET http://example.org/1 HTTP/1.0", body=second)
        in_the_body = ask(
            proxy, "POST http://example.org/1 HTTP/1.0", "Content-Length: 4", body=b"GET " + second
        )

    assert b" 400 one connection takes one request" in at_once
    assert b" 400 one connection takes one request" in in_the_body
    assert site.seen == []


def test_a_request_that_could_be_read_twice_is_refused(site: SimpleNamespace) -> None:
    with proxied(site.internet, "net=example.org:80") as proxy:
        answer = ask(
            proxy,
            "POST http://example.org/ HTTP/1.1",
            "Host: example.org",
            "Content-Length: 4",
            "Transfer-Encoding: chunked",
            body=b"0\r\n\r\n",
        )

    assert answer.startswith(b"HTTP/1.1 411 ")
    assert site.internet.connected == []


@pytest.mark.parametrize(
    "garbage",
    [b"\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", b"\x05\x01\x00\r\n\r\n", b"\0" * 16384],
)
def test_garbage_is_answered_and_the_proxy_goes_on(site: SimpleNamespace, garbage: bytes) -> None:
    with proxied(site.internet, "net=example.org:80") as proxy:
        with proxy.raw() as connection:
            connection.sendall(garbage)
            garbled = answer_of(connection)
        answer = ask(proxy, "GET http://example.org/ HTTP/1.0")

    assert garbled.startswith(b"HTTP/1.1 400 ")
    assert b" 200 OK" in answer


def test_a_client_that_ends_before_its_request_disturbs_nobody(site: SimpleNamespace) -> None:
    with proxied(site.internet, "net=example.org:80") as proxy:
        for start in (b"", b"GET http://exam"):
            with proxy.raw() as connection:
                connection.sendall(start)
        answer = ask(proxy, "GET http://example.org/ HTTP/1.0")

    assert b" 200 OK" in answer
    assert proxy.refused == []


def test_a_head_that_does_not_come_is_not_waited_for(site: SimpleNamespace) -> None:
    with proxied(site.internet, patience=QUICK) as proxy, proxy.raw() as connection:
        connection.sendall(b"GET http://example.org/ HTTP/1.1\r\n")
        answer = answer_of(connection)

    assert answer.startswith(b"HTTP/1.1 408 ")


def test_an_idle_tunnel_is_ended(mirror: SimpleNamespace) -> None:
    with proxied(mirror.internet, "net=example.org:443", patience=QUICK) as proxy:
        connection, line = tunnel(proxy, "example.org:443")
        rest = answer_of(connection)
        connection.close()

    assert line.startswith(b"HTTP/1.1 200")
    assert rest == b"\r\n"


def test_connections_over_the_limit_wait_for_their_turn(mirror: SimpleNamespace) -> None:
    with proxied(mirror.internet, "net=example.org:443", max_connections=2) as proxy:
        held = [tunnel(proxy, "example.org:443")[0] for _ in range(2)]
        third = proxy.raw()
        head = f"CONNECT example.org:443 HTTP/1.1\r\nProxy-Authorization: {AUTHORIZATION}\r\n\r\n"
        third.sendall(head.encode())
        third.settimeout(0.2)
        with pytest.raises(TimeoutError):
            third.recv(1)
        third.settimeout(10)
        held[0].close()
        line = third.recv(12)
        held[1].close()
        third.close()

    assert line == b"HTTP/1.1 200"


def test_connections_of_all_workers_together_are_bounded(
    mirror: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.sandbox.egress._MAX_CONNECTIONS", 1)
    with proxied(mirror.internet, "net=example.org:443") as proxy:
        other = socket.create_server(("127.0.0.1", 0), backlog=64)
        second = Proxy(proxy.egress, proxy.handle, other.getsockname()[1], [])
        proxy.egress.attach(other, TOKEN, Grants(), "other", ("127.0.0.1", 1))
        held, _ = tunnel(proxy, "example.org:443")
        with second.raw() as waiting:
            waiting.sendall(b"GET http://a.org/ HTTP/1.0\r\n\r\n")
            waiting.settimeout(0.2)
            with pytest.raises(TimeoutError):
                waiting.recv(1)
            waiting.settimeout(10)
            held.close()
            answer = answer_of(waiting)

    assert answer.startswith(b"HTTP/1.1 407 ")


def test_a_side_that_does_not_read_holds_the_other_back() -> None:
    # Nobody accepts behind this listener: what is sent stays in the kernel's buffers.
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        internet = Internet({"example.org": [[PUBLIC]]}, {PUBLIC: deaf.getsockname()[1]})
        with proxied(internet, "net=example.org:443") as proxy:
            connection, _ = tunnel(proxy, "example.org:443")
            connection.settimeout(0.5)
            sent = 0
            with contextlib.suppress(TimeoutError):
                while sent < 1 << 26:
                    sent += connection.send(bytes(1 << 20))
            connection.close()

    assert sent < 1 << 26


def test_refusals_are_told_at_a_bounded_rate(site: SimpleNamespace) -> None:
    with proxied(site.internet) as proxy:
        answers = [ask(proxy, "GET http://example.org/ HTTP/1.0") for _ in range(20)]

    assert all(answer.startswith(b"HTTP/1.1 403 ") for answer in answers)
    assert 10 <= len(proxy.refused) < 13


def test_closing_a_handle_ends_its_connections_only(mirror: SimpleNamespace) -> None:
    with proxied(mirror.internet, "net=example.org:443") as proxy:
        other = socket.create_server(("127.0.0.1", 0), backlog=64)
        port = other.getsockname()[1]
        grants = Grants()
        second = proxy.egress.attach(other, TOKEN, grants, "other", ("127.0.0.1", 1))
        connection, _ = tunnel(proxy, "example.org:443")
        connection.recv(2)

        proxy.handle.close()
        proxy.handle.close()
        ended = connection.recv(1)
        connection.close()
        with pytest.raises(ConnectionRefusedError):
            proxy.raw()
        still_there = ask(Proxy(proxy.egress, second, port, []), "GET http://a.org/ HTTP/1.0")

    assert ended == b""
    assert still_there.startswith(b"HTTP/1.1 403 ")
    second.close()


def test_stopping_ends_everything(mirror: SimpleNamespace) -> None:
    with proxied(mirror.internet, "net=example.org:443") as proxy:
        connection, _ = tunnel(proxy, "example.org:443")
        connection.recv(2)
        assert proxy.egress.stop()

        assert connection.recv(1) == b""
        connection.close()
        proxy.handle.close()
        with pytest.raises(Stopping):
            proxy.egress.attach(
                socket.create_server(("127.0.0.1", 0)), TOKEN, Grants(), "late", ("127.0.0.1", 1)
            )


def test_a_service_that_is_stopped_at_once_ends() -> None:
    egress = Egress(lambda *_: None)

    egress.start()

    assert egress.stop()


def test_a_look_up_that_hangs_is_given_up_and_holds_up_only_its_own(
    site: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.sandbox.dial._RESOLVE_S", 0.2)
    released = threading.Event()
    looked_up: list[str] = []

    def resolve(name: str) -> list[str]:
        looked_up.append(name)
        if name == "slow.org":
            released.wait(10)
        return [PUBLIC]

    site.internet.resolve = resolve
    with proxied(site.internet, "net=slow.org:80", "net=example.org:80") as proxy:
        slow = [ask(proxy, "GET http://slow.org/ HTTP/1.0") for _ in range(4)]
        released.set()
        answer = ask(proxy, "GET http://example.org/ HTTP/1.0")

    assert all(b" 504 slow.org was not resolved in time" in text for text in slow)
    assert looked_up.count("slow.org") == 2
    assert b" 200 OK" in answer


def test_an_answer_larger_than_all_buffers_arrives_whole(site: SimpleNamespace) -> None:
    body = bytes(8 << 20)

    with proxied(site.internet, "net=example.org:80") as proxy:
        connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=10)
        connection.request(
            "POST", "http://example.org/", body, {"Proxy-Authorization": AUTHORIZATION}
        )
        text = connection.getresponse().read()
        connection.close()

    assert text == b"POST / %d" % len(body)
