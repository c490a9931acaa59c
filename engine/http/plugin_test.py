"""Endpoints that run a plugin without storing anything: `/api/v3/plugin_test`."""

from __future__ import annotations

import base64
import binascii
from datetime import UTC, datetime

from starlette.requests import Request
from starlette.responses import Response

from engine.errors import InvalidParameter
from engine.http.bodies import read_body
from engine.http.endpoint import blocking, result_of
from engine.http.errors import json_answer
from engine.http.fields import JsonFields, require_json
from engine.http.services import HttpServices
from engine.model.dryrun import (
    SHARED_CACHE_NAME,
    DryRun,
    DryRunReport,
    Occasion,
    RequestOccasion,
    ScheduleOccasion,
    WriteOccasion,
)
from engine.model.event import PluginResponse, RequestEvent

__all__ = ["PluginTestEndpoints"]

_EVERY_SECOND = "* * * * * *"
_SECOND_NS = 1_000_000_000


class PluginTestEndpoints:
    """One endpoint for each kind of plugin."""

    def __init__(self, services: HttpServices) -> None:
        self._dry_runs = services.dry_runs
        self._limits = services.limits

    async def wal(self, request: Request) -> Response:
        """Run a plugin on lines."""
        fields = await self._fields(request)
        report = await self._run(fields, WriteOccasion(fields.text("input_lp")))
        return await blocking(lambda: json_answer(200, _shown(report)))

    async def schedule(self, request: Request) -> Response:
        """Run a plugin for the next tick of a schedule."""
        fields = await self._fields(request)
        expression = fields.optional_text("schedule") or _EVERY_SECOND
        report = await self._run(fields, ScheduleOccasion(expression))
        tick = {"trigger_time": _shown_time(report.trigger_time_ns)}
        return await blocking(lambda: json_answer(200, {**tick, **_shown(report)}))

    async def request(self, request: Request) -> Response:
        """Run a plugin on a request."""
        fields = await self._fields(request)
        event = RequestEvent(
            query=_texts(fields, "query_parameters") or {},
            headers=_headers(_texts(fields, "headers") or {}),
            body=_body(fields),
        )
        report = await self._run(fields, RequestOccasion(event))
        answer = _shown_answer(report.response)
        return await blocking(lambda: json_answer(200, {**answer, **_shown(report)}))

    async def _fields(self, request: Request) -> JsonFields:
        require_json(request)
        return JsonFields.parse(await read_body(request, self._limits))

    async def _run(self, fields: JsonFields, occasion: Occasion) -> DryRunReport:
        run = DryRun(
            plugin=fields.text("filename"),
            database=fields.text("database"),
            arguments=_texts(fields, "input_arguments"),
            cache_name=fields.optional_text("cache_name") or SHARED_CACHE_NAME,
            occasion=occasion,
        )
        return await result_of(self._dry_runs.submit(run))


def _texts(fields: JsonFields, name: str) -> dict[str, str] | None:
    values = fields.mapping(name)
    if values is None:
        return None
    texts: dict[str, str] = {}
    for key, value in values.items():
        if not isinstance(value, str):
            raise InvalidParameter(f"serde json error: `{key}` of `{name}` must be a string")
        texts[key] = value
    return texts


def _headers(given: dict[str, str]) -> dict[str, str]:
    """Return the headers as a plugin sees those of a request."""
    lowered = {name.lower(): value for name, value in given.items()}
    lowered.pop("authorization", None)
    return lowered


def _body(fields: JsonFields) -> bytes:
    text, encoded = fields.optional_text("body"), fields.optional_text("body_base64")
    if encoded is None:
        return (text or "").encode(errors="replace")
    if text is not None:
        raise InvalidParameter("`body` and `body_base64` cannot be given together")
    try:
        return base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidParameter(f"`body_base64` is no base64: {error}") from error


def _shown(report: DryRunReport) -> dict[str, object]:
    return {
        "log_lines": list(report.log_lines),
        "database_writes": {name: list(lines) for name, lines in report.database_writes.items()},
        "errors": list(report.errors),
    }


def _shown_time(time_ns: int | None) -> str | None:
    if time_ns is None:
        return None
    return f"{datetime.fromtimestamp(time_ns // _SECOND_NS, UTC):%Y-%m-%dT%H:%M:%SZ}"


def _shown_answer(response: PluginResponse | None) -> dict[str, object]:
    if response is None:
        return {"status": None, "headers": {}, "body": None}
    shown = {"status": response.status, "headers": _shown_headers(response.headers)}
    body = response.body if isinstance(response.body, bytes) else b""
    try:
        return {**shown, "body": body.decode()}
    except UnicodeDecodeError:
        return {**shown, "body_base64": base64.b64encode(body).decode()}


def _shown_headers(headers: tuple[tuple[str, str], ...]) -> dict[str, object]:
    """Return values by name; a name that comes more than once has a list of them."""
    values: dict[str, list[str]] = {}
    for name, value in headers:
        values.setdefault(name, []).append(value)
    return {name: found[0] if len(found) == 1 else found for name, found in values.items()}
