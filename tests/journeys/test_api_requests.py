"""What a request brings to its plugin, through a real server."""

from __future__ import annotations

import http.client
import json
import socket
import threading
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.requesting import ENGINE, add
from tests.serving import Server, serving


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("asked")) as running:
        running.create_database("db")
        yield running


@pytest.fixture(scope="module")
def echo(server: Server) -> str:
    add(
        server,
        "echo",
        """
        def process_request(influxdb3_local, query_parameters, request_headers, body, args=None):
            kinds = [type(each).__name__ for each in (query_parameters, request_headers, body)]
            return [kinds, query_parameters, request_headers, repr(body), args]
        """,
        arguments={"a": "b"},
    )
    return "echo"


@pytest.mark.parametrize(
    ("query", "seen"),
    [
        ("", {}),
        ("a=1&b=2&a=3", {"a": "3", "b": "2"}),
        ("flag&b=", {"flag": "", "b": ""}),
        ("a+b=c%20d+e%2Bf", {"a b": "c d e+f"}),
        ("q=%C3%A9%F0%9F%98%80", {"q": "é😀"}),
        ("bad=%FFx", {"bad": "\ufffdx"}),
        ("x=1=2&&y=3;4", {"x": "1=2", "y": "3;4"}),
    ],
)
def test_query_parameters_are_decoded_as_a_form(
    server: Server, echo: str, query: str, seen: dict[str, str]
) -> None:
    kinds, parameters, _, body, arguments = _raw(server, f"GET {ENGINE}{echo}?{query}", "")

    assert parameters == seen
    assert (kinds, body, arguments) == (["dict", "dict", "bytes"], "b''", {"a": "b"})


def test_header_names_are_in_lower_case_and_the_last_value_wins(server: Server, echo: str) -> None:
    head = "X-Twice: 1\r\nx-tWICE: 2\r\nAuthorization: Bearer secret\r\nX-Empty:\r\n"

    _, _, headers, body, _ = _raw(
        server, f"POST {ENGINE}{echo}", f"{head}Content-Length: 3\r\n", "a\0b"
    )

    assert (headers["x-twice"], headers["x-empty"], body) == ("2", "", r"b'a\x00b'")
    assert "authorization" not in headers
    assert all(name == name.lower() for name in headers)


def _raw(server: Server, request: str, head: str, body: str = "") -> list[Any]:
    parts = urlsplit(server.url)
    with socket.create_connection((parts.hostname, parts.port), timeout=30) as client:
        client.sendall(f"{request} HTTP/1.1\r\nHost: x\r\n{head}\r\n{body}".encode("latin-1"))
        answer = http.client.HTTPResponse(client)
        answer.begin()
        document: list[Any] = json.loads(answer.read())
        return document


@pytest.mark.parametrize(
    ("path", "found", "missed"),
    [
        ("a/b", "a/b", ["a", "a/b/", "a/b/c"]),
        ("/lead", "/lead", ["lead"]),
        ("trail/", "trail/", ["trail"]),
        ("sp ace", "sp%20ace", ["sp+ace"]),
        ("\u00fcn\u00ef", "%C3%BCn%C3%AF", ["un%C3%AF"]),
    ],
)
def test_a_path_is_served_exactly(server: Server, path: str, found: str, missed: list[str]) -> None:
    server.plugin("web.py", "def process_request(*args):\n    return ['web']\n")
    assert server.trigger("db", f"at {path}", f"request:{path}", "web.py").status == 200

    assert _raw(server, f"GET {ENGINE}{found}", "") == ["web"]
    for other in missed:
        assert server.request("GET", ENGINE + other).status == 404


def test_requests_to_one_trigger_are_served_one_at_a_time(server: Server) -> None:
    add(
        server,
        "serial",
        """
        import threading
        def process_request(influxdb3_local, *rest):
            inside = influxdb3_local.cache.get("inside", 0)
            influxdb3_local.cache.put("inside", inside + 1)
            threading.Event().wait(0.02)
            influxdb3_local.cache.put("inside", inside)
            return str(inside)
        """,
    )
    seen: list[str] = []

    def ask() -> None:
        seen.append(server.request("GET", f"{ENGINE}serial").text)

    threads = [threading.Thread(target=ask) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert seen == ["0"] * 5
