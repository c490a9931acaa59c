"""Endpoints that take plugins: `/api/v3/plugins/files` and `/api/v3/plugins/directory`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import Response

from engine.errors import InvalidParameter
from engine.http.bodies import read_body
from engine.http.endpoint import blocking
from engine.http.fields import JsonFields, QueryFields, require_json
from engine.http.services import HttpServices
from engine.plugins.upload import UploadedFile

__all__ = ["PluginFileEndpoints"]


class PluginFileEndpoints:
    """Create and update the files of plugins."""

    def __init__(self, services: HttpServices) -> None:
        self._sources = services.sources
        self._limits = services.limits
        # Uploads wait for one another; the waiting must not fill the threads.
        self._one_upload = asyncio.Lock()

    async def create_file(self, request: Request) -> Response:
        """Write a file of the plugin folder."""
        fields = await self._json(request)
        name, content = fields.text("plugin_name"), _encoded(fields.text("content"))
        return await self._upload(lambda: self._sources.create_file(name, content))

    async def update_file(self, request: Request) -> Response:
        """Replace the file of a trigger, or with `?path=` any file, by the body as it is."""
        query: bytes = request.scope["query_string"]
        path = QueryFields(query).optional_text("path")
        if path is not None:
            body = await read_body(request, self._limits)
            return await self._upload(lambda: self._sources.create_file(path, body))
        fields = await self._json(request)
        trigger, database = fields.text("plugin_name"), fields.optional_text("db")
        content = _encoded(fields.text("content"))
        return await self._upload(lambda: self._sources.update_file(trigger, database, content))

    async def update_folder(self, request: Request) -> Response:
        """Replace the whole folder of a trigger."""
        fields = await self._json(request)
        trigger, database = fields.text("plugin_name"), fields.optional_text("db")
        files = [_file(item) for item in fields.sequence("files")]
        return await self._upload(lambda: self._sources.update_folder(trigger, database, files))

    async def _upload(self, upload: Callable[[], None]) -> Response:
        async with self._one_upload:
            await blocking(upload)
        return Response(status_code=200)

    async def _json(self, request: Request) -> JsonFields:
        require_json(request)
        return JsonFields.parse(await read_body(request, self._limits))


def _file(item: object) -> UploadedFile:
    match item:
        case {"relative_path": str(path), "content": str(content)}:
            return UploadedFile(path, _encoded(content))
        case _:
            raise InvalidParameter(
                "serde json error: a file needs a `relative_path` and a `content`"
            )


def _encoded(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise InvalidParameter("serde json error: lone surrogate in hex escape") from error
