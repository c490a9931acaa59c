"""Endpoints about the environment of a trigger: `/api/v3/configure/plugin_environment/...`.

Without a trigger they are about the one that all share. An answer comes when the change is in
service. Whoever leaves before does not stop it.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from engine.errors import InvalidParameter
from engine.http.bodies import read_body
from engine.http.endpoint import blocking, result_of
from engine.http.errors import json_answer
from engine.http.fields import Fields, JsonFields, QueryFields, require_json
from engine.http.moments import moment
from engine.http.services import HttpServices
from engine.triggers.description import Description

__all__ = ["EnvironmentEndpoints"]


class EnvironmentEndpoints:
    """Show, roll back and repair."""

    def __init__(self, services: HttpServices) -> None:
        self._provisions = services.provisions
        self._limits = services.limits

    async def show(self, request: Request) -> Response:
        """Tell what a trigger runs with, and what it ran with before."""
        database, name = _whose(QueryFields(request.scope["query_string"]))
        found = await blocking(lambda: self._provisions.describe(database, name))
        return json_answer(200, {**found.to_json(), "history": _history(found)})

    async def rollback(self, request: Request) -> Response:
        """Go back to a lock of the history, or to the one before."""
        fields = await self._json(request)
        database, name = _whose(fields)
        lock = fields.optional_text("lock")
        change = await result_of(self._provisions.rollback(database, name, lock))
        return json_answer(200, change.to_json())

    async def repair(self, request: Request) -> Response:
        """Build it anew from its lock."""
        database, name = _whose(await self._json(request))
        change = await result_of(self._provisions.repair(database, name))
        return json_answer(200, change.to_json())

    async def _json(self, request: Request) -> JsonFields:
        require_json(request)
        return JsonFields.parse(await read_body(request, self._limits))


def _history(found: Description) -> list[dict[str, str]]:
    return [
        {"lock": switch.lock_id, "at": moment(switch.at_ns), "reason": switch.reason.value}
        for switch in found.history
    ]


def _whose(fields: Fields) -> tuple[str | None, str | None]:
    """Return database and trigger, or neither for the environment that all share."""
    database, name = fields.optional_text("db"), fields.optional_text("trigger_name")
    if (database is None) != (name is None):
        raise InvalidParameter(
            "db and trigger_name belong together; without both the shared environment is meant"
        )
    return database, name
