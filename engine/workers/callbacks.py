"""What a running plugin may ask for: the only bridge from the wire to the services.

A call starts at once and answers through a future, so that the lane's thread keeps watching the
worker while a query runs. Errors of the caller become faults in the plugin API's own words.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Protocol, TypeVar, assert_never

import pyarrow as pa

from engine.errors import EngineError, EngineFault, QueryRejected, QueryUnsupported, UserError
from engine.ingest.transaction import RunIdentity
from engine.model.entry import IdempotenceKey
from engine.model.event import BufferedLines
from engine.model.names import check_internal_name
from engine.workers.answers import AnswerSink
from engine.workers.encode import encode_result
from worker.wire.faults import Fault
from worker.wire.messages import (
    CacheDeleteCall,
    CacheGetCall,
    CachePutCall,
    CacheReply,
    DoneReply,
    FaultReply,
    QueryCall,
    QueryReply,
    WriteCall,
)

__all__ = ["Call", "Callbacks", "Queries", "Reply", "RunContext", "SharedValues", "SyncWrites"]

Call = QueryCall | WriteCall | CachePutCall | CacheGetCall | CacheDeleteCall
Reply = QueryReply | DoneReply | CacheReply | FaultReply
T = TypeVar("T")
_UNAVAILABLE = 503
_MOST_UNWRITTEN = 10_000
Parameters = Mapping[str, bool | int | float | str | None]


class Queries(Protocol):
    """What runs SQL; see `engine.query.tables`."""

    def submit(self, database: str, sql: str, params: Parameters | None) -> Future[pa.Table]:
        """Start a query."""
        ...


class SyncWrites(Protocol):
    """What writes at once; see `engine.ingest.transaction`."""

    def write_now(
        self, who: RunIdentity, lines: BufferedLines, key: IdempotenceKey | None
    ) -> Future[int]:
        """Write lines apart from the run's own commit."""
        ...


class SharedValues(Protocol):
    """What keeps the global namespace of caches; see `engine.cache`."""

    def put(self, key: str, value: bytes, ttl_s: float | None) -> None:
        """Store a value."""
        ...

    def get(self, key: str) -> bytes | None:
        """Return what is stored, or None."""
        ...

    def delete(self, key: str) -> bool:
        """Remove a key; return whether it was there."""
        ...


@dataclass(slots=True)
class RunContext:
    """The run in hand: whose it is, and how many synchronous writes it has made.

    Args:
        who: the run.
        event_range: [from, to) of a WAL event, or the tick twice; None for a request, which is
            never repeated and needs no idempotence key.
        answer: where an answer goes that comes in parts; None when nobody waits for one.
        ordinal: of the next synchronous write.
        was_let_down: whether a call could not be answered by our fault.
        unwritten: ordinals of the newest synchronous writes that failed, by a print of their lines;
            one that is tried again keeps its own, so that a repeated run in which it succeeds at
            once does not write it twice.
    """

    who: RunIdentity
    event_range: tuple[int, int] | None
    answer: AnswerSink | None = None
    ordinal: int = field(default=0)
    was_let_down: bool = field(default=False)
    unwritten: dict[bytes, int] = field(default_factory=dict)

    def note(self, error: BaseException) -> None:
        """Note why a call fails: a full disk or queue is nothing that the plugin can help."""
        if isinstance(error, EngineFault) and error.http_status == _UNAVAILABLE:
            self.was_let_down = True

    def next_key(self, lines: BufferedLines) -> IdempotenceKey | None:
        """Return the key of a synchronous write: the next one, unless it is tried again."""
        if self.event_range is None:
            return None
        ordinal = self.unwritten.pop(_print_of(lines), self.ordinal)
        self.ordinal = max(self.ordinal, ordinal + 1)
        return IdempotenceKey(self.who.run.trigger_id, *self.event_range, ordinal)

    def note_unwritten(self, lines: BufferedLines, key: IdempotenceKey | None) -> None:
        """Note that a synchronous write has failed, and that the plugin is told so."""
        if key is not None:
            self.unwritten[_print_of(lines)] = key.ordinal
            if len(self.unwritten) > _MOST_UNWRITTEN:
                del self.unwritten[next(iter(self.unwritten))]


class Callbacks:
    """Services for plugins; shared by all lanes, called in each lane's thread."""

    def __init__(self, queries: Queries, writer: SyncWrites, cache: SharedValues) -> None:
        self._queries = queries
        self._writer = writer
        self._cache = cache

    def start(self, call: Call, run: RunContext) -> Future[Reply]:
        """Begin to answer a call; the future never raises."""
        try:
            return self._start(call, run)
        except EngineError as error:
            run.note(error)
            return _answered(FaultReply(_fault(error, str(error))))

    def _start(self, call: Call, run: RunContext) -> Future[Reply]:
        match call:
            case QueryCall():
                return self._query(call, run)
            case WriteCall():
                return self._write(call, run)
            case CachePutCall(key, value, ttl_s):
                self._cache.put(key, value, ttl_s)
                return _answered(DoneReply())
            case CacheGetCall(key):
                found = self._cache.get(key)
                return _answered(CacheReply(found is not None, found))
            case CacheDeleteCall(key):
                return _answered(CacheReply(self._cache.delete(key), None))
            case _:
                assert_never(call)

    def _query(self, call: QueryCall, run: RunContext) -> Future[Reply]:
        database = call.database if call.database is not None else run.who.database
        try:
            check_internal_name(database)
        except UserError as error:
            return _answered(FaultReply(_fault(error, f"invalid database name provided: {error}")))

        def words(error: BaseException) -> str:
            is_planning = isinstance(error, QueryRejected | QueryUnsupported)
            cause = f"error while planning query: {error}" if is_planning else str(error)
            return f"error: {cause} executing query on {database}: {call.sql}"

        try:
            rows = self._queries.submit(database, call.sql, call.params)
        except EngineError as error:
            run.note(error)
            return _answered(FaultReply(_fault(error, words(error))))
        return _follow(rows, run, lambda table: QueryReply(encode_result(table)), words)

    def _write(self, call: WriteCall, run: RunContext) -> Future[Reply]:
        lines = BufferedLines(call.database, call.lines)
        key = run.next_key(lines)
        try:
            durable = self._writer.write_now(run.who, lines, key)
        except EngineError:
            run.note_unwritten(lines, key)
            raise
        if call.no_sync:
            return _answered(DoneReply())

        def note(done: Future[int]) -> None:
            if done.exception() is not None:
                run.note_unwritten(lines, key)

        durable.add_done_callback(note)  # before the answer's, so that it is known by then
        return _follow(durable, run, lambda _: DoneReply(), str)


def _print_of(lines: BufferedLines) -> bytes:
    text = f"{lines.database!r} {lines.text}".encode()
    return hashlib.blake2b(text, digest_size=16).digest()


def _answered(reply: Reply) -> Future[Reply]:
    future: Future[Reply] = Future()
    future.set_result(reply)
    return future


def _follow(
    source: Future[T],
    run: RunContext,
    reply: Callable[[T], Reply],
    words: Callable[[BaseException], str],
) -> Future[Reply]:
    """Turn one future into another, in the thread that completes the first."""
    answer: Future[Reply] = Future()

    def complete(done: Future[T]) -> None:
        error = done.exception()
        if error is not None:
            run.note(error)
        try:
            answer.set_result(
                reply(done.result()) if error is None else FaultReply(_fault(error, words(error)))
            )
        except Exception as failure:  # noqa: BLE001  the plugin is told; the lane must go on
            answer.set_result(FaultReply(_fault(failure, words(failure))))

    source.add_done_callback(complete)
    return answer


def _fault(error: BaseException, message: str) -> Fault:
    code = error.code if isinstance(error, EngineError) else "engine_fault"
    blame = "" if isinstance(error, UserError | EngineError) else f"{type(error).__name__}: "
    return Fault(code, blame + message)
