"""The three ways to write line protocol: v3, and the forms of v2 and v1 clients."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from starlette.requests import Request
from starlette.responses import Response

from engine.errors import InvalidParameter
from engine.http.bodies import read_body
from engine.http.endpoint import blocking, result_of
from engine.http.errors import json_answer
from engine.http.fields import QueryFields
from engine.http.services import HttpServices
from engine.ingest.writer import LinesRejected, WriteReport, WriteRequest
from engine.lineprotocol.precision import Precision, parse_precision
from engine.model.columns import RejectedLine
from engine.model.names import check_database_name

__all__ = ["WriteEndpoints"]

_ORIGINAL_LINE_BYTES = 20
_DEFAULT_RETENTION_POLICIES = frozenset(("", "''", "autogen", "default"))
_FEW_LINES = 100


class WriteEndpoints:
    """`/api/v3/write_lp`, `/api/v2/write` and `/write`."""

    def __init__(self, services: HttpServices) -> None:
        self._writer = services.writer
        self._limits = services.limits

    async def v3(self, request: Request) -> Response:
        """Write; by default the good lines of a body with bad ones are kept."""
        query = _query(request, "missing query parameter 'db'")
        fields = QueryFields(query)
        database = fields.text("db")
        accept_partial = fields.flag("accept_partial", default=True)
        no_sync = fields.flag("no_sync", default=False)
        precision = _precision(fields, Precision.AUTO)
        return await self._write(
            request,
            database,
            precision,
            accept_partial=accept_partial,
            no_sync=no_sync,
            rejected_answer=_rejected_answer,
        )

    async def v2(self, request: Request) -> Response:
        """Write all lines or none; the database is called a bucket."""
        fields = QueryFields(_query(request, "no org/bucket destination provided"))
        bucket = fields.optional_text("bucket")
        if not bucket:
            raise InvalidParameter("missing bucket value")
        return await self._write(
            request,
            bucket,
            _precision(fields, Precision.NANOSECOND),
            rejected_answer=_rejected_v2_answer,
        )

    async def v1(self, request: Request) -> Response:
        """Write all lines or none; a retention policy is a part of the database's name."""
        fields = QueryFields(_query(request, "no db destination provided"))
        database = fields.optional_text("db")
        if not database:
            raise InvalidParameter("no db destination provided")
        policy = fields.optional_text("rp") or ""
        if policy not in _DEFAULT_RETENTION_POLICIES:
            database = f"{database}/{policy.lower()}"
        return await self._write(
            request,
            database,
            _precision(fields, Precision.NANOSECOND),
            rejected_answer=_rejected_answer,
        )

    async def _write(
        self,
        request: Request,
        database: str,
        precision: Precision,
        *,
        rejected_answer: Callable[[LinesRejected], Response],
        accept_partial: bool = False,
        no_sync: bool = False,
    ) -> Response:
        check_database_name(database)
        body = await read_body(request, self._limits)
        write = WriteRequest(database, body, precision, accept_partial, no_sync)
        try:
            report = await result_of(self._writer.submit(write))
        except LinesRejected as error:
            return rejected_answer(error)
        if report.rejected:
            return await _partial_answer(report)
        return Response(status_code=204)


def _query(request: Request, complaint: str) -> bytes:
    query: bytes = request.scope["query_string"]
    if not query:
        raise InvalidParameter(complaint)
    return query


def _precision(fields: QueryFields, default: Precision) -> Precision:
    text = fields.optional_text("precision")
    if text is None:
        return default
    return parse_precision(text, allow_auto=default is Precision.AUTO)


def _rejected_answer(error: LinesRejected) -> Response:
    """Answer a strict write with its first bad line."""
    body = {"error": "line protocol parsing error", "data": _shown(error.rejected[0])}
    return json_answer(422 if error.limit_hit else 400, body)


def _rejected_v2_answer(error: LinesRejected) -> Response:
    reason = f"write buffer error: line protocol parse failed: {error}"
    return json_answer(400, {"code": "invalid", "message": reason})


async def _partial_answer(report: WriteReport) -> Response:
    if len(report.rejected) <= _FEW_LINES:
        return _partial(report.rejected, limit_hit=report.limit_hit)
    # A body of nothing but bad lines has a million of them.
    return await blocking(lambda: _partial(report.rejected, limit_hit=report.limit_hit))


def _partial(rejected: Sequence[RejectedLine], *, limit_hit: bool) -> Response:
    data = [_shown(line) for line in rejected]
    body = {"error": "partial write of line protocol occurred", "data": data}
    return json_answer(422 if limit_hit else 400, body)


def _shown(line: RejectedLine) -> dict[str, object]:
    beginning = line.text[:_ORIGINAL_LINE_BYTES].encode(errors="replace")[:_ORIGINAL_LINE_BYTES]
    return {
        "error_message": line.reason,
        "line_number": line.number,
        "original_line": beginning.decode(errors="ignore"),
    }
