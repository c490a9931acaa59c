"""Endpoints that change databases and tables: `/api/v3/configure/...`."""

from __future__ import annotations

import asyncio

import pyarrow as pa
from starlette.requests import Request
from starlette.responses import Response

from engine.catalog.commands import (
    HardDelete,
    create_database,
    create_table,
    delete_table,
    parse_hard_delete,
    set_retention,
)
from engine.catalog.deletion import After
from engine.catalog.state import Database
from engine.errors import InvalidParameter
from engine.http.bodies import read_body
from engine.http.endpoint import blocking
from engine.http.fields import JsonFields, QueryFields, require_json
from engine.http.formats import named_format
from engine.http.services import HttpServices
from engine.model.duration import parse_duration_ns
from engine.model.names import check_database_name, check_table_name
from engine.model.schema import TIME, Column, ColumnType

__all__ = ["ConfigureEndpoints"]

_MAX_RETENTION_NS = 2**64 - 1  # what system tables can show
_FIELD_TYPES = {
    "utf8": ColumnType.STRING,
    "int64": ColumnType.INTEGER,
    "uint64": ColumnType.UINTEGER,
    "float64": ColumnType.FLOAT,
    "bool": ColumnType.BOOLEAN,
}


class ConfigureEndpoints:
    """Databases, their retention periods, and tables."""

    def __init__(self, services: HttpServices) -> None:
        self._catalog = services.catalog
        self._definitions = services.definitions
        self._clock = services.clock
        self._hard_delete_default = After(round(services.hard_delete_default_s * 1e9))
        # A deletion may wait for runs to end; others must not fill the threads meanwhile.
        self._one_deletion = asyncio.Lock()
        self._render = services.render
        self._limits = services.limits

    async def list_databases(self, request: Request) -> Response:
        """List the databases by name, `_internal` included."""
        fields = QueryFields(request.scope["query_string"])
        shape = named_format(fields.text("format"))
        with_deleted = fields.flag("show_deleted", default=False)
        catalog = self._catalog.catalog
        names = sorted(catalog.databases)
        columns = {"iox::database": pa.array(names, pa.utf8())}
        if with_deleted:
            trash = (t for t in catalog.trash.values() if isinstance(t.object, Database))
            gone = sorted(trashed.name for trashed in trash)
            is_gone = [False] * len(names) + [True] * len(gone)
            columns = {
                "iox::database": pa.array([*names, *gone], pa.utf8()),
                "deleted": pa.array(is_gone, pa.bool_()),
            }
        body = await blocking(lambda: self._render(shape, pa.table(columns)))
        return Response(body, headers={"content-type": shape.content_type})

    async def create_database(self, request: Request) -> Response:
        """Create a database."""
        fields = await self._json(request)
        name = check_database_name(fields.text("db"))
        retention_ns = _retention_ns(fields.optional_text("retention_period"))
        await blocking(lambda: self._catalog.update(create_database(name, retention_ns)))
        return Response(status_code=200)

    async def update_database(self, request: Request) -> Response:
        """Set or clear the retention period of a database."""
        fields = await self._json(request)
        retention_ns = _retention_ns(fields.optional_text("retention_period"))
        return await self._set_retention(fields.text("db"), retention_ns, status=200)

    async def delete_database(self, request: Request) -> Response:
        """Delete a database, its tables and triggers; the rows go when their time has come."""
        fields = QueryFields(request.scope["query_string"])
        name, hard_delete = fields.text("db"), self._hard_delete(fields)
        async with self._one_deletion:
            await blocking(lambda: self._definitions.delete_database(name, hard_delete))
        return Response(status_code=200)

    async def delete_table(self, request: Request) -> Response:
        """Delete a table; the rows go when their time has come."""
        fields = QueryFields(request.scope["query_string"])
        database, table = fields.text("db"), fields.text("table")
        hard_delete = self._hard_delete(fields)
        decide = delete_table(database, table, self._clock.now_ns(), hard_delete)
        await blocking(lambda: self._catalog.update(decide))
        return Response(status_code=200)

    async def set_retention(self, request: Request) -> Response:
        """Set the retention period of a database, given in the query string."""
        fields = QueryFields(request.scope["query_string"])
        retention_ns = _retention_ns(fields.text("duration"))
        return await self._set_retention(fields.text("db"), retention_ns, status=204)

    async def clear_retention(self, request: Request) -> Response:
        """Keep the rows of a database for ever."""
        fields = QueryFields(request.scope["query_string"])
        return await self._set_retention(fields.text("db"), None, status=204)

    async def create_table(self, request: Request) -> Response:
        """Create a table, and its database when it is missing."""
        fields = await self._json(request)
        database = check_database_name(fields.text("db"))
        table = check_table_name(fields.text("table"))
        columns = _columns(fields)
        await blocking(lambda: self._catalog.update(create_table(database, table, columns)))
        return Response(status_code=200)

    async def _set_retention(
        self, database: str, retention_ns: int | None, *, status: int
    ) -> Response:
        await blocking(lambda: self._catalog.update(set_retention(database, retention_ns)))
        return Response(status_code=status)

    def _hard_delete(self, fields: QueryFields) -> HardDelete:
        text = fields.optional_text("hard_delete_at")
        return parse_hard_delete(text or "default", self._hard_delete_default)

    async def _json(self, request: Request) -> JsonFields:
        require_json(request)
        return JsonFields.parse(await read_body(request, self._limits))


def _retention_ns(text: str | None) -> int | None:
    if text is None:
        return None
    try:
        retention_ns = parse_duration_ns(text)
    except InvalidParameter as error:
        raise InvalidParameter(f"Cannot parse the given human time: {error}") from error
    if retention_ns > _MAX_RETENTION_NS:
        raise InvalidParameter(f"Cannot parse the given human time: {text!r} is too long")
    return retention_ns


def _columns(fields: JsonFields) -> tuple[Column, ...]:
    columns = [Column(_text(tag), ColumnType.TAG) for tag in fields.sequence("tags")]
    columns += [_field(item) for item in fields.sequence("fields")]
    names = [column.name for column in columns]
    for name in names:
        if names.count(name) > 1 or name == TIME:
            raise InvalidParameter(f"column name is reserved or given twice: {name}")
    return tuple(columns)


def _field(item: object) -> Column:
    match item:
        case {"name": str(name), "type": str(kind)} if kind in _FIELD_TYPES:
            return Column(_text(name), _FIELD_TYPES[kind])
        case {"type": str(kind)}:
            raise InvalidParameter(
                f"{kind} is not a valid data type, values are {', '.join(_FIELD_TYPES)}"
            )
        case _:
            raise InvalidParameter("serde json error: a field needs a `name` and a `type`")


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise InvalidParameter("serde json error: a column name must be a string that is not empty")
    return value
