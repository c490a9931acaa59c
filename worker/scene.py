"""What surrounds a plugin in a plain unit test: answers, a clock, and a record of what it did.

A `Scene` stands for the engine behind `influxdb3_local`. It lives in the test's own process and
takes the place of a lane, so that the plugin meets the real API above it. Used by one thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgpack

from worker.cache import Namespace
from worker.wire import Fault
from worker.wire import messages as m

__all__ = ["Answer", "Answers", "Question", "Row", "Run", "Scene", "Validate", "Write"]

Row = Mapping[str, Any]
Answers = (
    Mapping[str, Sequence[Row] | Exception]
    | Callable[[str, Mapping[str, Any] | None, str], Sequence[Row]]
)
"""Rows by a part of the SQL, or a function of SQL, parameters and database."""

Validate = Callable[[str, list[str]], object]
"""Gets a database and lines; raises when the server would refuse them."""

_NS_PER_S = 1_000_000_000
# 2025-01-01, so that ages and windows come out as in life.
_START_NS = 1_735_689_600 * _NS_PER_S


@dataclass(frozen=True, slots=True)
class Write:
    """One call that wrote.

    Args:
        database: where to.
        text: what `build()` returned.
        is_sync: whether it was `write_sync` or `write_sync_to_db`.
    """

    database: str
    text: str
    is_sync: bool

    @property
    def lines(self) -> list[str]:
        """The text cut at every line feed, also at one inside a string field."""
        return [line for line in self.text.split("\n") if line]


@dataclass(frozen=True, slots=True)
class Question:
    """One query of the plugin."""

    sql: str
    parameters: Mapping[str, Any] | None
    database: str


class Scene:
    """The engine as a plugin sees it, played by a test.

    Args:
        database: the one that the trigger belongs to.
        queries: what queries answer. With a mapping the first key that occurs in the SQL counts,
            and an exception as its value is raised; `QueryError` is what a real query raises.
        validate: told what would be written: of a synchronous write at once, of buffered ones
            when a run has ended.
        now_ns: the time, UTC nanoseconds; `advance` moves it, and values of the cache expire.

    What the plugin does is kept in `writes`, `logs` as (level, text), and `questions`.
    """

    def __init__(
        self,
        database: str = "db",
        queries: Answers | None = None,
        validate: Validate | None = None,
        now_ns: int = _START_NS,
    ) -> None:
        self.database = database
        self.queries: Answers = {} if queries is None else queries
        self.validate = validate
        self.now_ns = now_ns
        self.writes: list[Write] = []
        self.logs: list[tuple[str, str]] = []
        self.questions: list[Question] = []
        self.namespace = Namespace(lambda: self.now_ns)
        self._shared: dict[str, tuple[bytes, int | None]] = {}

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.now_ns += round(seconds * _NS_PER_S)

    def lines(self, database: str | None = None) -> list[str]:
        """Return all lines written to a database (the trigger's own), in the order of the calls."""
        wanted = self.database if database is None else database
        return [line for write in self.writes if write.database == wanted for line in write.lines]

    def record(self, database: str | None, text: str, *, is_sync: bool) -> Write:
        """Keep a write."""
        write = Write(database or self.database, text, is_sync)
        self.writes.append(write)
        return write

    def answer(self, call: m.Message) -> m.Message:
        """Answer a call of the API as the engine would."""
        match call:
            case m.QueryCall(sql, parameters, database):
                return self._query(Question(sql, parameters, database or self.database))
            case m.WriteCall(database, text, _):
                return self._write(database, text)
            case m.CachePutCall(key, value, ttl_s):
                expires_ns = None if ttl_s is None else self.now_ns + round(ttl_s * _NS_PER_S)
                self._shared[key] = (value, expires_ns)
                return m.DoneReply()
            case m.CacheGetCall(key):
                found = self._unexpired(key)
                return m.CacheReply(found is not None, found)
            case m.CacheDeleteCall(key):
                return m.CacheReply(self._shared.pop(key, None) is not None, None)
            case _:
                raise TypeError(f"{type(call).__name__} is no call")

    def _query(self, question: Question) -> m.Message:
        self.questions.append(question)
        rows = self._rows(question)
        names = list(dict.fromkeys(name for row in rows for name in row))
        columns = tuple(_column(name, rows) for name in names)
        return m.QueryReply(m.Block("", len(rows), columns))

    def _rows(self, question: Question) -> Sequence[Row]:
        if callable(self.queries):
            return self.queries(question.sql, question.parameters, question.database)
        for part, rows in self.queries.items():
            if part in question.sql:
                if isinstance(rows, Exception):
                    raise rows
                return rows
        raise LookupError(f"the scene has no answer to the query: {question.sql}")

    def _write(self, database: str | None, text: str) -> m.Message:
        write = self.record(database, text, is_sync=True)
        if self.validate is not None:
            try:
                self.validate(write.database, write.lines)
            except Exception as error:  # noqa: BLE001 - whatever the test raises is the refusal
                self.writes.remove(write)
                where = f"error writing line protocol to {write.database}"
                reason = f"{where}: Cannot write: line protocol parse failed: {error}"
                return m.FaultReply(Fault("plugin_write_refused", reason))
        return m.DoneReply()

    def _unexpired(self, key: str) -> bytes | None:
        value, expires_ns = self._shared.get(key, (None, None))
        if expires_ns is not None and expires_ns <= self.now_ns:
            del self._shared[key]
            return None
        return value


@dataclass(frozen=True, slots=True)
class Answer:
    """What a client would get from a request plugin; the body is in one piece."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode()

    def header(self, name: str) -> str | None:
        """Return the value of a header in any spelling."""
        return next((v for n, v in self.headers if n.lower() == name.lower()), None)


@dataclass(frozen=True, slots=True)
class Run:
    """What one run did.

    Args:
        scene: where it ran.
        writes: in the order of the calls.
        logs: (level, text).
        response: of `run_request`, else None.
    """

    scene: Scene
    writes: tuple[Write, ...]
    logs: tuple[tuple[str, str], ...]
    response: Answer | None = None

    @property
    def lines(self) -> list[str]:
        """What was written to the trigger's own database."""
        return self.lines_of(self.scene.database)

    def lines_of(self, database: str) -> list[str]:
        """Return what was written to a database."""
        return [line for write in self.writes if write.database == database for line in write.lines]


def _column(name: str, rows: Iterable[Row]) -> m.BlockColumn:
    values = [row.get(name) for row in rows]
    return m.BlockColumn(name, "o", msgpack.packb(values), b"", b"")
