"""Endpoints that create and change triggers: `/api/v3/configure/processing_engine_trigger`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace

from starlette.requests import Request
from starlette.responses import Response

from engine.catalog.commands import NewTrigger
from engine.errors import InvalidParameter
from engine.http.bodies import read_body
from engine.http.endpoint import blocking, result_of
from engine.http.errors import json_answer
from engine.http.fields import Fields, JsonFields, QueryFields, require_json
from engine.http.services import HttpServices
from engine.model.grants import Grants, parse_grants
from engine.model.limits import Limits, parse_limits
from engine.model.trigger import (
    TriggerSettings,
    parse_catch_up,
    parse_error_behavior,
    parse_on_lag,
    parse_origins,
    parse_spec,
)

__all__ = ["TriggerEndpoints"]


class TriggerEndpoints:
    """Create, update, delete, enable and disable."""

    def __init__(self, services: HttpServices) -> None:
        self._definitions = services.definitions
        self._provisions = services.provisions
        self._limits = services.limits
        # A change may wait for a run to end; others must not fill the threads meanwhile.
        self._one_change = asyncio.Lock()

    async def create(self, request: Request) -> Response:
        """Create a trigger from a JSON body."""
        require_json(request)
        fields = JsonFields.parse(await read_body(request, self._limits))
        new = _new_trigger(fields)
        await blocking(lambda: self._definitions.check(new))
        # Its packages may take minutes, in which other triggers are changed.
        prepared = await result_of(self._provisions.prepare(new))
        return await self._change(lambda: self._definitions.create(new, prepared))

    async def update(self, request: Request) -> Response:
        """Change the packages of a trigger, or what it may reach and use, from a JSON body."""
        require_json(request)
        fields = JsonFields.parse(await read_body(request, self._limits))
        database, name = fields.text("db"), fields.text("trigger_name")
        required = tuple(fields.texts("requirements")) if fields.has("requirements") else None
        upgrade = fields.flag("upgrade", default=False)
        settings = fields.nested("trigger_settings")
        if required is None and not upgrade:
            return await self._confine(database, name, *_confines(settings))
        # Looked at first, so that a mistake changes nothing.
        confines = None if settings is None else _confines(settings)
        if confines is not None:
            self._definitions.check_confines(*confines)
        change = await result_of(
            self._provisions.require(database, name, required, upgrade=upgrade)
        )
        if confines is not None:
            await self._confine(database, name, *confines)
        return json_answer(200, {"environment": change.to_json()})

    async def delete(self, request: Request) -> Response:
        """Delete a trigger that is disabled, or any with force."""
        fields = await self._fields(request)
        database, name = fields.text("db"), fields.text("trigger_name")
        force = fields.flag("force", default=False)
        return await self._change(lambda: self._definitions.delete(database, name, force=force))

    async def enable(self, request: Request) -> Response:
        """Let a trigger run."""
        fields = await self._fields(request)
        database, name = fields.text("db"), fields.text("trigger_name")
        return await self._change(lambda: self._definitions.enable(database, name))

    async def disable(self, request: Request) -> Response:
        """Let a trigger rest."""
        fields = await self._fields(request)
        database, name = fields.text("db"), fields.text("trigger_name")
        return await self._change(lambda: self._definitions.disable(database, name))

    async def _confine(
        self, database: str, name: str, grants: Grants | None, limits: Limits | None
    ) -> Response:
        return await self._change(lambda: self._definitions.confine(database, name, grants, limits))

    async def _change(self, change: Callable[[], object]) -> Response:
        async with self._one_change:
            await blocking(change)
        return Response(status_code=200)

    async def _fields(self, request: Request) -> Fields:
        query: bytes = request.scope["query_string"]
        if query:
            return QueryFields(query)
        require_json(request)
        return JsonFields.parse(await read_body(request, self._limits))


def _new_trigger(fields: JsonFields) -> NewTrigger:
    settings = _settings(fields.nested("trigger_settings"))
    if fields.has("requirements"):
        settings = replace(settings, requirements=tuple(fields.texts("requirements")))
    return NewTrigger(
        database=fields.text("db"),
        name=fields.text("trigger_name"),
        plugin=fields.text("plugin_filename"),
        spec=parse_spec(fields.text("trigger_specification")),
        settings=settings,
        arguments=_arguments(fields.mapping("trigger_arguments")),
        disabled=fields.flag("disabled", default=False),
    )


def _settings(fields: JsonFields | None) -> TriggerSettings:
    if fields is None:
        return TriggerSettings()
    default = TriggerSettings()
    behavior = fields.optional_text("error_behavior")
    catch_up = fields.optional_text("catch_up")
    on_lag = fields.optional_text("on_lag")
    return TriggerSettings(
        run_async=fields.flag("run_async", default=default.run_async),
        error_behavior=default.error_behavior
        if behavior is None
        else parse_error_behavior(behavior),
        catch_up=default.catch_up if catch_up is None else parse_catch_up(catch_up),
        limits=parse_limits(fields.mapping("limits") or {}),
        cors=parse_origins(fields.texts("cors")) if fields.has("cors") else default.cors,
        on_lag=default.on_lag if on_lag is None else parse_on_lag(on_lag),
        grants=parse_grants(fields.texts("grants")) if fields.has("grants") else default.grants,
    )


def _confines(fields: JsonFields | None) -> tuple[Grants | None, Limits | None]:
    """Return the settings that can be changed, None where they are not given."""
    given = {} if fields is None else {n: v for n, v in fields.values.items() if v is not None}
    if fields is None or not given:
        raise InvalidParameter("trigger_settings must hold grants, limits, or both")
    for name in given:
        if name not in {"grants", "limits"}:
            raise InvalidParameter(
                f"trigger_settings.{name} cannot be changed; grants and limits can"
            )
    limits = fields.mapping("limits")
    return (
        parse_grants(fields.texts("grants")) if "grants" in given else None,
        None if limits is None else parse_limits(limits),
    )


def _arguments(values: Mapping[str, object] | None) -> Mapping[str, str] | None:
    if values is None:
        return None
    arguments: dict[str, str] = {}
    for key, value in values.items():
        if not isinstance(value, str):
            raise InvalidParameter(f"serde json error: trigger argument `{key}` must be a string")
        arguments[key] = value
    return arguments
