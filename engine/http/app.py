"""The route table of the HTTP edge.

Endpoints are `async` and only ever wait: for futures of services, or for the few threads of the
loop's default executor. The write routes stand first, because routes are tried in order.
"""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from engine.http.backup import BackupEndpoints
from engine.http.configure import ConfigureEndpoints
from engine.http.edge import Edge
from engine.http.endpoint import Endpoint, guarded
from engine.http.engine import EngineEndpoints
from engine.http.environments import EnvironmentEndpoints
from engine.http.errors import (
    ErrorAnswer,
    plain_answer,
    query_answer,
    text_answer,
    v1_answer,
    v2_answer,
)
from engine.http.letters import LetterEndpoints
from engine.http.packages import PackageEndpoints
from engine.http.plugin_test import PluginTestEndpoints
from engine.http.plugins import PluginFileEndpoints
from engine.http.query import QueryEndpoints
from engine.http.services import HttpServices, Identity
from engine.http.status import StatusEndpoints
from engine.http.triggers import TriggerEndpoints
from engine.http.write import WriteEndpoints

__all__ = ["HttpServices", "Identity", "make_app"]

_DATABASE = "/api/v3/configure/database"
_TABLE = "/api/v3/configure/table"
_TRIGGER = "/api/v3/configure/processing_engine_trigger"
_LETTERS = "/api/v3/configure/dead_letters"
_ENVIRONMENT = "/api/v3/configure/plugin_environment"
_PLUGINS = "/api/v3/plugins"
_TESTS = "/api/v3/plugin_test"


def make_app(services: HttpServices) -> Starlette:
    """Return the ASGI application over the services."""
    app = Starlette(
        routes=[
            *_write_routes(services),
            *_query_routes(services),
            *_engine_routes(services),
            *_status_routes(services),
            *_configure_routes(services),
            *_trigger_routes(services),
            *_plugin_routes(services),
            *_package_routes(services),
            *_letter_routes(services),
            *_backup_routes(services),
            *_test_routes(services),
        ],
        middleware=[
            Middleware(
                Edge,
                cluster_uuid=services.catalog.catalog.uuid,
                authorize=services.authorize,
                origins=services.requests.origins,
                max_held_bytes=services.limits.max_held_bytes,
            )
        ],
        exception_handlers={404: _not_found, 405: _not_found},
    )
    app.router.redirect_slashes = False
    return app


def _write_routes(services: HttpServices) -> list[Route]:
    write = WriteEndpoints(services)
    return [
        _route("POST", "/api/v3/write_lp", write.v3),
        _route("POST", "/api/v2/write", write.v2, v2_answer),
        _route("POST", "/write", write.v1, v1_answer),
    ]


def _query_routes(services: HttpServices) -> list[Route]:
    query = QueryEndpoints(services)
    return [
        _route("GET", "/api/v3/query_sql", query.get, query_answer),
        _route("POST", "/api/v3/query_sql", query.post, query_answer),
    ]


def _engine_routes(services: HttpServices) -> list[Route]:
    serve = EngineEndpoints(services).serve
    path = "/api/v3/engine/{path:path}"
    table = [("GET", path, serve), ("POST", path, serve), ("HEAD", path, serve)]
    return [_route(method, path, endpoint) for method, path, endpoint in table]


def _status_routes(services: HttpServices) -> list[Route]:
    status = StatusEndpoints(services.identity)
    return [
        _route("GET", "/health", status.health),
        _route("GET", "/api/v1/health", status.health),
        _route("GET", "/ping", status.ping),
        _route("POST", "/ping", status.ping),
    ]


def _configure_routes(services: HttpServices) -> list[Route]:
    configure = ConfigureEndpoints(services)
    table = [
        ("GET", _DATABASE, configure.list_databases),
        ("POST", _DATABASE, configure.create_database),
        ("PUT", _DATABASE, configure.update_database),
        ("DELETE", _DATABASE, configure.delete_database),
        ("POST", f"{_DATABASE}/retention_period", configure.set_retention),
        ("DELETE", f"{_DATABASE}/retention_period", configure.clear_retention),
        ("POST", _TABLE, configure.create_table),
        ("DELETE", _TABLE, configure.delete_table),
    ]
    return [_route(method, path, endpoint) for method, path, endpoint in table]


def _trigger_routes(services: HttpServices) -> list[Route]:
    triggers = TriggerEndpoints(services)
    table = [
        ("POST", _TRIGGER, triggers.create),
        ("PUT", _TRIGGER, triggers.update),
        ("DELETE", _TRIGGER, triggers.delete),
        ("POST", f"{_TRIGGER}/enable", triggers.enable),
        ("POST", f"{_TRIGGER}/disable", triggers.disable),
    ]
    return [_route(method, path, endpoint) for method, path, endpoint in table]


def _letter_routes(services: HttpServices) -> list[Route]:
    letters = LetterEndpoints(services)
    table = [
        ("GET", _LETTERS, letters.list_letters),
        ("GET", f"{_LETTERS}/{{id}}", letters.show),
        ("POST", f"{_LETTERS}/{{id}}/retry", letters.retry),
        ("DELETE", f"{_LETTERS}/{{id}}", letters.drop),
    ]
    return [_route(method, path, endpoint) for method, path, endpoint in table]


def _backup_routes(services: HttpServices) -> list[Route]:
    table = [("GET", "/api/v3/backup", BackupEndpoints(services).download)]
    return [_route(method, path, endpoint) for method, path, endpoint in table]


def _test_routes(services: HttpServices) -> list[Route]:
    tests = PluginTestEndpoints(services)
    table = [
        ("POST", f"{_TESTS}/wal", tests.wal),
        ("POST", f"{_TESTS}/schedule", tests.schedule),
        ("POST", f"{_TESTS}/request", tests.request),
    ]
    return [_route(method, path, endpoint) for method, path, endpoint in table]


def _plugin_routes(services: HttpServices) -> list[Route]:
    plugins = PluginFileEndpoints(services)
    table = [
        ("POST", f"{_PLUGINS}/files", plugins.create_file),
        ("PUT", f"{_PLUGINS}/files", plugins.update_file),
        ("PUT", f"{_PLUGINS}/directory", plugins.update_folder),
    ]
    return [_route(method, path, endpoint) for method, path, endpoint in table]


def _package_routes(services: HttpServices) -> list[Route]:
    packages = PackageEndpoints(services)
    environments = EnvironmentEndpoints(services)
    table = [
        ("GET", _ENVIRONMENT, environments.show),
        ("POST", f"{_ENVIRONMENT}/rollback", environments.rollback),
        ("POST", f"{_ENVIRONMENT}/repair", environments.repair),
        ("POST", f"{_ENVIRONMENT}/install_packages", packages.install_packages),
        ("POST", f"{_ENVIRONMENT}/install_requirements", packages.install_requirements),
    ]
    return [_route(method, path, endpoint) for method, path, endpoint in table]


def _route(method: str, path: str, endpoint: Endpoint, answer: ErrorAnswer = plain_answer) -> Route:
    route = Route(path, guarded(endpoint, answer), methods=[method])
    # Starlette lets HEAD pass for GET; here only request plugins answer it.
    route.methods = {method}
    return route


async def _not_found(_request: Request, _error: Exception) -> Response:
    return text_answer(404, "Not found")
