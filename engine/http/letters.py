"""Endpoints for events that were given up: `/api/v3/configure/dead_letters`.

Times are RFC 3339 with nanoseconds; of the rows, members without a value are left out.
"""

from __future__ import annotations

from typing import assert_never

import pyarrow as pa
from starlette.requests import Request
from starlette.responses import Response

from engine.errors import InvalidParameter
from engine.http.endpoint import blocking
from engine.http.errors import json_answer
from engine.http.fields import QueryFields
from engine.http.moments import moment, moments
from engine.http.services import HttpServices
from engine.ingest.internal import DeadLetter, unpack_event
from engine.model.event import ScheduledEvent, WalEvent
from engine.model.schema import TIME

__all__ = ["LetterEndpoints"]

_STATES = {"open": False, "all": True}


class LetterEndpoints:
    """List, show, retry and drop."""

    def __init__(self, services: HttpServices) -> None:
        self._letters = services.letters

    async def list_letters(self, request: Request) -> Response:
        """List the letters of a database, without their events."""
        fields = QueryFields(request.scope["query_string"])
        database, state = fields.text("db"), fields.optional_text("state") or "open"
        if state not in _STATES:
            raise InvalidParameter(
                f"serde error: unknown variant `{state}`, expected `open` or `all`"
            )
        with_closed = _STATES[state]
        found = await blocking(lambda: self._letters.letters(database, with_closed=with_closed))
        return json_answer(200, [_facts(letter) for letter in found])

    async def show(self, request: Request) -> Response:
        """Show a letter with its event."""
        database, id_ = _named(request)
        return await blocking(lambda: _shown(self._letters.find(database, id_)))

    async def retry(self, request: Request) -> Response:
        """Hand the event of a letter to its trigger."""
        database, id_ = _named(request)
        await blocking(lambda: self._letters.retry(database, id_))
        return Response(status_code=200)

    async def drop(self, request: Request) -> Response:
        """Close a letter without running its event."""
        database, id_ = _named(request)
        await blocking(lambda: self._letters.drop(database, id_))
        return Response(status_code=200)


def _named(request: Request) -> tuple[str, str]:
    database = QueryFields(request.scope["query_string"]).text("db")
    return database, request.path_params["id"]


def _shown(letter: DeadLetter) -> Response:
    event = None if letter.event is None else _event(unpack_event(letter.event))
    return json_answer(200, {**_facts(letter), "event": event})


def _facts(letter: DeadLetter) -> dict[str, object]:
    return {
        "id": letter.id,
        "time": moment(letter.time),
        "database": letter.database,
        "trigger_name": letter.trigger_name,
        "state": letter.state,
        "kind": letter.kind,
        "position_from": letter.position_from,
        "position_to": letter.position_to,
        "tick": None if letter.tick is None else moment(letter.tick),
        "rows": letter.rows,
        "attempts": letter.attempts,
        "error_code": letter.error_code,
        "error": letter.error,
    }


def _event(event: WalEvent | ScheduledEvent) -> dict[str, object]:
    match event:
        case WalEvent():
            tables = [{"table_name": t.table, "rows": _rows(t.rows)} for t in event.tables]
            return {"tables": tables}
        case ScheduledEvent(time_ns):
            return {"scheduled_time": moment(time_ns)}
        case _:
            assert_never(event)


def _rows(rows: pa.RecordBatch) -> list[dict[str, object]]:
    place = rows.schema.get_field_index(TIME)
    shown = rows.set_column(place, TIME, moments(rows.column(TIME)))
    return [
        {name: value for name, value in row.items() if value is not None}
        for row in shown.to_pylist()
    ]
