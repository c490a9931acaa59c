"""SQL over HTTP: `/api/v3/query_sql`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from engine.errors import InvalidParameter
from engine.http.bodies import read_body
from engine.http.endpoint import blocking, result_of
from engine.http.fields import JsonFields, QueryFields
from engine.http.formats import Format, accepted_format, named_format
from engine.http.room import share_of
from engine.http.services import HttpServices, SqlValue

__all__ = ["QueryEndpoints"]


@dataclass(frozen=True, slots=True)
class _Question:
    database: str
    sql: str
    format_name: str | None
    params: Mapping[str, SqlValue] | None


class QueryEndpoints:
    """`GET` and `POST` of the same question."""

    def __init__(self, services: HttpServices) -> None:
        self._queries = services.queries
        self._render = services.render
        self._limits = services.limits

    async def get(self, request: Request) -> Response:
        """Answer a query in the query string."""
        query = request.scope["query_string"]
        if not query:
            raise InvalidParameter("missing query parameters 'db' and 'q'")
        accepted = accepted_format(request.headers.get("accept"))
        fields = QueryFields(query)
        text = fields.optional_text("params")
        params = None if text is None else _params(JsonFields.parse(text.encode()).values)
        question = _Question(
            fields.text("db"), fields.text("q"), fields.optional_text("format"), params
        )
        return await self._answer(request, question, accepted)

    async def post(self, request: Request) -> Response:
        """Answer a query in a JSON body; its content type does not matter."""
        accepted = accepted_format(request.headers.get("accept"))
        fields = JsonFields.parse(await read_body(request, self._limits))
        question = _Question(
            fields.text("db"),
            fields.text("q"),
            fields.optional_text("format"),
            _params(fields.mapping("params")),
        )
        return await self._answer(request, question, accepted)

    async def _answer(self, request: Request, question: _Question, accepted: Format) -> Response:
        shape = named_format(question.format_name) if question.format_name else accepted
        share = share_of(request)
        share.take(0)
        submitted = self._queries.submit(question.database, question.sql, question.params)
        table = await result_of(submitted)
        share.take(table.nbytes)
        body = await blocking(lambda: self._render(shape, table))
        share.hold(len(body))
        return Response(body, headers={"content-type": shape.content_type})


def _params(values: Mapping[str, object] | None) -> Mapping[str, SqlValue] | None:
    if values is None:
        return None
    return {name: _sql_value(name, value) for name, value in values.items()}


def _sql_value(name: str, value: object) -> SqlValue:
    match value:
        case None | bool() | int() | str():
            return value
        case float() if math.isfinite(value):
            return value
        case _:
            raise InvalidParameter(
                f"query parameter `{name}` cannot be converted: "
                "use null, a boolean, a number or a string"
            )
