"""What all routes share: headers, preflight, unknown paths, status endpoints, the authorizer."""

import uuid
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from starlette.requests import HTTPConnection

from engine.errors import UserError
from engine.http.app import make_app
from tests.http_services import EdgeParts


class Unwelcome(UserError):
    code = "unwelcome_in_tests"
    http_status = 401


class OnlyHealth:
    """Lets nothing but health checks pass."""

    def check(self, request: HTTPConnection) -> None:
        if request.url.path != "/health":
            raise Unwelcome(f"not {request.scope['method']}, {request.headers['x-who']}")


def test_every_answer_carries_the_identity_of_the_cluster(
    client: httpx.Client, parts: EdgeParts
) -> None:
    answers = [client.get("/health"), client.get("/nowhere"), client.options("/x")]

    assert {a.headers["cluster-uuid"] for a in answers} == {parts.catalog.catalog.uuid}


def test_only_successes_allow_other_origins(client: httpx.Client) -> None:
    assert client.get("/health").headers["access-control-allow-origin"] == "*"
    assert "access-control-allow-origin" not in client.get("/nowhere").headers


@pytest.mark.parametrize("path", ["/", "/api/v3/write_lp", "/nowhere"])
def test_preflight_is_answered_on_any_path(client: httpx.Client, path: str) -> None:
    answer = client.options(path)

    assert answer.status_code == 204
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["access-control-allow-methods"] == "*"
    assert answer.headers["access-control-allow-headers"] == "*"
    assert answer.headers["access-control-max-age"] == "86400"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/nowhere"),
        ("GET", "/api/v3/write_lp"),
        ("DELETE", "/health"),
        ("PATCH", "/api/v3/engine/x"),
        ("GET", "/health/"),
        ("GET", "//health"),
        ("BREW", "/ping"),
    ],
)
def test_unknown_path_or_method_is_not_found(client: httpx.Client, method: str, path: str) -> None:
    answer = client.send(client.build_request(method, str(client.base_url) + path))

    assert answer.status_code in {400, 404}
    if method != "BREW":  # a method that HTTP does not know does not get past the parser
        assert (answer.status_code, answer.text) == (404, "Not found")


def test_head_is_not_answered_by_get(client: httpx.Client) -> None:
    assert client.head("/api/v3/engine/x").status_code == 404


@pytest.mark.parametrize("path", ["/health", "/api/v1/health"])
def test_health_is_ok(client: httpx.Client, path: str) -> None:
    answer = client.get(path)

    assert (answer.status_code, answer.text) == (200, "OK")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_ping_tells_version_and_process(client: httpx.Client, method: str) -> None:
    answer = client.request(method, "/ping")

    assert answer.json() == {
        "product_name": "Bulkhead",
        "version": "1.2.3",
        "revision": "abcdef",
        "process_id": "00000000-0000-0000-0000-000000000000",
    }
    assert answer.headers["x-influxdb-version"] == "1.2.3"
    assert answer.headers["x-influxdb-build"] == "Core"
    assert answer.headers["request-id"] == answer.headers["x-request-id"]
    assert uuid.UUID(answer.headers["request-id"]).version == 7


def test_request_ids_follow_time(client: httpx.Client) -> None:
    first, second = (client.get("/ping").headers["request-id"] for _ in range(2))

    assert first != second
    assert first[:8] <= second[:8]


@pytest.mark.anyio
async def test_every_route_passes_the_authorizer(tmp_path: Path) -> None:
    parts = EdgeParts(tmp_path)
    app = make_app(replace(parts.services(), authorize=OnlyHealth()))
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
        healthy = await client.get("/health")
        refused = await client.post("/api/v3/write_lp?db=d", headers={"x-who": "me"})
        unknown = await client.get("/nowhere", headers={"x-who": "me"})
        preflight = await client.options("/nowhere")
    parts.stop()

    assert healthy.status_code == 200
    assert (refused.status_code, refused.text) == (401, "not POST, me")
    assert unknown.status_code == 401
    assert preflight.status_code == 204
    assert parts.writes.seen == []
