"""Endpoints that install packages: `/api/v3/configure/plugin_environment/install_...`.

The answer comes when the installation has ended. Whoever leaves before does not stop it.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from engine.environments.installation import Wanted
from engine.errors import InvalidParameter
from engine.http.bodies import read_body
from engine.http.endpoint import result_of
from engine.http.errors import json_answer
from engine.http.fields import JsonFields, require_json
from engine.http.services import HttpServices

__all__ = ["PackageEndpoints"]


class PackageEndpoints:
    """Install into the environment that all triggers share which ask for nothing."""

    def __init__(self, services: HttpServices) -> None:
        self._provisions = services.provisions
        self._limits = services.limits

    async def install_packages(self, request: Request) -> Response:
        """Install packages by name."""
        fields = await self._json(request)
        return await self._install(Wanted(packages=tuple(fields.texts("packages"))))

    async def install_requirements(self, request: Request) -> Response:
        """Install what a file on the server lists."""
        location = (await self._json(request)).text("requirements_location")
        if not location or "\0" in location or "://" in location:
            raise InvalidParameter("requirements_location must be the path of a file on the server")
        return await self._install(Wanted(requirements=location))

    async def _install(self, wanted: Wanted) -> Response:
        change = await result_of(self._provisions.install(wanted))
        return json_answer(200, change.to_json())

    async def _json(self, request: Request) -> JsonFields:
        require_json(request)
        return JsonFields.parse(await read_body(request, self._limits))
