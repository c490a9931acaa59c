"""The write path: a body of line protocol becomes a durable entry of the log.

`Writer.submit` is for HTTP clients: a small pool, or another one for large bodies, parses and
checks, the committer makes the entry durable, and the future resolves; no thread waits for the
disk. `Writer.prepare` and `Writer.commit` are the same steps for plugin writes, called in the
lane's own thread.

The catalog grows before the entry is logged, so a crash in between leaves unused columns and
never rows without a schema.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

from engine.catalog.missing import create_missing
from engine.catalog.state import Catalog
from engine.catalog.store import CatalogStore
from engine.clock import Clock
from engine.errors import (
    Busy,
    EmptyWrite,
    HotBufferFull,
    InvalidParameter,
    LimitExceeded,
    Stopping,
    UserError,
)
from engine.ingest.body import check_body, rejections
from engine.ingest.check import CheckedTable, SchemaLimits
from engine.lineprotocol import Precision, parse
from engine.model.columns import ParsedLines, RejectedLine
from engine.model.entry import Client, Entry, TableRows, WriteEntry
from engine.model.schema import Column

__all__ = ["LinesRejected", "Prepared", "WriteReport", "WriteRequest", "Writer"]

_LARGE_BODY_BYTES = 256 * 1024


class LinesRejected(UserError):
    """Lines of a write that had to be accepted whole were rejected; nothing was written."""

    code = "lines_rejected"

    def __init__(self, rejected: tuple[RejectedLine, ...], *, limit_hit: bool) -> None:
        super().__init__(rejected[0].reason)
        self.rejected = rejected
        self.limit_hit = limit_hit


@dataclass(frozen=True, slots=True)
class WriteRequest:
    """A write of a client; `no_sync` asks for the answer before the rows are durable."""

    database: str
    body: bytes
    precision: Precision
    accept_partial: bool
    no_sync: bool = False


@dataclass(frozen=True, slots=True)
class WriteReport:
    """How a write ended: rows stored, lines rejected, and whether a schema limit was met."""

    rows: int
    rejected: tuple[RejectedLine, ...]
    limit_hit: bool


@dataclass(frozen=True, slots=True)
class Prepared:
    """Checked rows of one database, ready for an entry."""

    database_id: int
    tables: tuple[TableRows, ...]
    report: WriteReport


class EntryCommitter(Protocol):
    """What makes entries durable; see `engine.wal.flusher`."""

    def submit(self, entry: Entry) -> Future[int]:
        """Queue an entry; the future resolves to its sequence when it is durable."""
        ...


class Writer:
    """The one way into the log for rows; every method may be called from any thread."""

    def __init__(  # noqa: PLR0913  the services it joins, each named once in the composition
        self,
        catalog: CatalogStore,
        committer: EntryCommitter,
        clock: Clock,
        *,
        buffered_bytes: Callable[[], int],
        hot_buffer_bytes: int,
        max_pending_bytes: int,
        parsers: int = 2,
        limits: SchemaLimits | None = None,
    ) -> None:
        self._catalog = catalog
        self._committer = committer
        self._clock = clock
        self._buffered_bytes = buffered_bytes
        self._hot_buffer_bytes = hot_buffer_bytes
        self._admission = _Admission(max_pending_bytes)
        self._limits = limits or SchemaLimits()
        self._pool = ThreadPoolExecutor(parsers, thread_name_prefix="ingest")
        self._large_pool = ThreadPoolExecutor(parsers, thread_name_prefix="ingest-large")

    def submit(self, request: WriteRequest) -> Future[WriteReport]:
        """Write a client's body.

        Returns:
            A future that resolves when the rows are durable and queryable (with `no_sync`: when
            they are queued), or raises what `prepare` raises.

        Raises:
            Busy: too many bytes are on their way to the log.
            HotBufferFull: memory for rows is used up.
            Stopping: the server is shutting down.
        """
        self._refuse_when_full()
        answer: Future[WriteReport] = Future()
        self._admission.enter(len(request.body))
        answer.add_done_callback(lambda _: self._admission.leave(len(request.body)))
        try:
            self._pool_for(request.body).submit(self._write, request, answer)
        except RuntimeError as error:
            answer.cancel()
            raise Stopping from error
        return answer

    def prepare(
        self,
        database: str,
        text: str,
        precision: Precision,
        *,
        accept_partial: bool,
        known_id: int | None = None,
    ) -> Prepared:
        """Parse and check line protocol and make room for it in the catalog.

        With `known_id` nothing is made in a database that is not the one with this id.

        Raises:
            DatabaseNotFound: the known database was deleted.
            EmptyWrite: there is no line in the text.
            LinesRejected: a line is bad and `accept_partial` is false; the catalog is unchanged.
        """
        parsed = parse(text, precision, self._clock.now_ns())
        if not parsed.tables and not parsed.rejected:
            raise EmptyWrite("incoming write was empty")
        while True:
            catalog = self._catalog.catalog  # one value: what it names may be deleted meanwhile
            checked = check_body(catalog, database, parsed, self._limits)
            report = _report(parsed, checked)
            if report.rejected and not accept_partial:
                raise LinesRejected(report.rejected, limit_hit=report.limit_hit)
            missing = _missing(checked)
            if not missing or report.rows == 0:
                return _resolve(catalog, database, checked, report)
            self._grow(database, missing, catalog.number, known_id)

    def commit(self, entry: Entry) -> Future[int]:
        """Hand an entry to the log, within the memory limit for rows."""
        self._refuse_when_full()
        return self._committer.submit(entry)

    def stop(self) -> None:
        """Finish what was submitted and refuse the rest."""
        self._pool.shutdown(wait=True)
        self._large_pool.shutdown(wait=True)

    def _pool_for(self, body: bytes) -> ThreadPoolExecutor:
        """Small bodies do not queue behind large ones, which may take seconds to parse."""
        return self._large_pool if len(body) > _LARGE_BODY_BYTES else self._pool

    def _refuse_when_full(self) -> None:
        if self._buffered_bytes() >= self._hot_buffer_bytes:
            raise HotBufferFull(self._hot_buffer_bytes)

    def _write(self, request: WriteRequest, answer: Future[WriteReport]) -> None:
        if not answer.set_running_or_notify_cancel():
            return
        try:
            prepared = self.prepare(
                request.database,
                _text(request.body),
                request.precision,
                accept_partial=request.accept_partial,
            )
            if prepared.report.rows == 0:
                answer.set_result(prepared.report)
                return
            entry = WriteEntry(Client(), prepared.database_id, (), None, prepared.tables)
            durable = self.commit(entry)
        except Exception as error:  # noqa: BLE001  the future carries it to the caller
            answer.set_exception(error)
            return
        if request.no_sync:
            answer.set_result(prepared.report)
            return
        durable.add_done_callback(lambda done: _pass_on(done, prepared.report, answer))

    def _grow(
        self, database: str, missing: Mapping[str, tuple[Column, ...]], seen: int, id_: int | None
    ) -> None:
        """Create what is missing; the rows are checked again against what the catalog then says.

        A refusal counts only if the catalog is still the one that the rows were checked against:
        otherwise another writer grew the schema differently, and the new check will tell.
        """
        try:
            self._catalog.update(lambda now: create_missing(now, database, missing, known_id=id_))
        except (InvalidParameter, LimitExceeded):
            if self._catalog.catalog.number == seen:
                raise


class _Admission:
    """Bounds the bytes of bodies between acceptance and answer; guarded by its own lock."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._bytes = 0

    def enter(self, size: int) -> None:
        with self._lock:
            if self._bytes and self._bytes + size > self._max_bytes:
                raise Busy("too many writes are waiting for the disk; try again shortly")
            self._bytes += size

    def leave(self, size: int) -> None:
        with self._lock:
            self._bytes -= size


def _text(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        raise InvalidParameter(f"body content is not valid utf8: {error}") from error


def _report(parsed: ParsedLines, checked: Mapping[str, CheckedTable]) -> WriteReport:
    rows = sum(table.rows.num_rows for table in checked.values() if table.rows is not None)
    limit_hit = any(table.limit_hit for table in checked.values())
    return WriteReport(rows, rejections(parsed, checked), limit_hit)


def _missing(checked: Mapping[str, CheckedTable]) -> dict[str, tuple[Column, ...]]:
    """Return the columns to create by table; a new table may need none beside `time`."""
    return {
        name: table.new_columns
        for name, table in checked.items()
        if table.rows is not None and table.new_columns
    }


def _resolve(
    catalog: Catalog, database: str, checked: Mapping[str, CheckedTable], report: WriteReport
) -> Prepared:
    if report.rows == 0:
        return Prepared(-1, (), report)
    known = catalog.database(database)
    tables = tuple(
        TableRows(known.id, known.tables[name].id, table.rows)
        for name, table in checked.items()
        if table.rows is not None
    )
    return Prepared(known.id, tables, report)


def _pass_on(done: Future[int], report: WriteReport, answer: Future[WriteReport]) -> None:
    error = done.exception()
    if error is not None:
        answer.set_exception(error)
    else:
        answer.set_result(report)
