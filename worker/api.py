"""`influxdb3_local`: what a plugin may do.

An object belongs to one run. Its buffered lines leave with the run's result; after the run its
logs and its own cache still work, writing and querying raise RuntimeError. Threads of the plugin
may use it; their calls take turns.

Source: InfluxDB 3 Core plugin API, "influxdb3_local".
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Protocol

from worker.cache import Cache, Namespace
from worker.lane import Lane
from worker.rows import Row, result_rows
from worker.wire import LIMITS, LocalWireError
from worker.wire import messages as m

__all__ = ["Buildable", "Local", "QueryError", "buffered_lines", "clean"]

_INTERNAL = "_internal"


class Buildable(Protocol):
    """A `LineBuilder`, or anything else that builds one or more lines."""

    def build(self) -> str:
        """Return the lines."""
        ...


class QueryError(Exception):
    """A query has failed."""


QueryError.__module__ = "influxdb3_py_api"


class Local:
    """The shared API of one run."""

    __slots__ = ("_buffered", "_cache", "_database", "_lane", "_namespace")

    def __init__(self, lane: Lane, namespace: Namespace, database: str) -> None:
        self._lane = lane
        self._namespace = namespace
        self._database = database
        self._buffered: dict[str | None, list[str]] = {}
        self._cache = Cache(namespace, self._call_cache, self._warn)

    def __repr__(self) -> str:
        return f"<influxdb3_local for database {self._database}>"

    @property
    def cache(self) -> Cache:
        """The cache of the trigger."""
        self._namespace.sweep()
        return self._cache

    def info(self, *args: object) -> None:
        """Log the arguments, joined by spaces."""
        self._log("INFO", args)

    def warn(self, *args: object) -> None:
        """Log the arguments as a warning."""
        self._log("WARN", args)

    def error(self, *args: object) -> None:
        """Log the arguments as an error."""
        self._log("ERROR", args)

    def write(self, line_builder: Buildable) -> None:
        """Write lines to the trigger's database when the run has succeeded."""
        self._buffer(None, line_builder)

    def write_to_db(self, db_name: str, line_builder: Buildable) -> None:
        """Write lines to a database when the run has succeeded."""
        self._buffer(_check_text("db_name", db_name), line_builder)

    def write_sync(self, line_builder: Buildable, no_sync: bool = False) -> None:  # noqa: FBT001, FBT002 - Core's signature
        """Write lines to the trigger's database at once."""
        self._write_now(None, line_builder, is_lazy=no_sync)

    def write_sync_to_db(
        self,
        db_name: str,
        line_builder: Buildable,
        no_sync: bool = False,  # noqa: FBT001, FBT002 - Core's signature
    ) -> None:
        """Write lines to a database at once."""
        self._write_now(_check_text("db_name", db_name), line_builder, is_lazy=no_sync)

    def query(
        self,
        query: str,
        args: Mapping[str, m.Parameter] | None = None,
        database: str | None = None,
    ) -> list[Row]:
        """Run a SQL query and return its rows.

        Raises:
            QueryError: it has failed.
        """
        _check_text("query", query)
        if database is not None:
            _check_text("database", database)
        reply = self._call(m.QueryCall(query, _check_parameters(args), database))
        match reply:
            case m.QueryReply(block):
                return result_rows(block)
            case m.FaultReply(fault):
                raise QueryError(fault.message)
            case _:
                raise QueryError(f"the query was answered with {type(reply).__name__}")

    def _log(self, level: str, args: tuple[object, ...]) -> None:
        if self._lane.owner is self:
            self._lane.check()
        self._note(level, " ".join(map(str, args)))

    def _warn(self, text: str) -> None:
        self._note("WARN", text)

    def _note(self, level: str, text: str) -> None:
        self._lane.note(m.Log(level, clean(text), time.time_ns()))

    def _buffer(self, database: str | None, line_builder: Buildable) -> None:
        self._require_run()
        self._lane.check()
        lines = self._build(database, line_builder)
        self._buffered.setdefault(database, []).append(lines)

    def _write_now(self, database: str | None, line_builder: Buildable, *, is_lazy: bool) -> None:
        lines = self._build(database, line_builder)
        reply = self._call(m.WriteCall(database, lines, bool(is_lazy)))
        if isinstance(reply, m.FaultReply):
            raise Exception(reply.fault.message)  # noqa: TRY002, TRY004 - as Core does

    def _build(self, database: str | None, line_builder: Buildable) -> str:
        if (database or self._database) == _INTERNAL:
            raise Exception(f"plugins cannot write to the database {_INTERNAL}")  # noqa: TRY002 - as Core does
        lines: object = line_builder.build()
        if not isinstance(lines, str):
            raise TypeError(f"build() must return str, not {type(lines).__name__}")
        if not lines.isascii():
            lines.encode()  # raises at the call that wrote it when it is no Unicode
        return lines

    def _call(self, message: m.Message) -> m.Message:
        self._require_run()
        try:
            return self._lane.call(message, self)
        except LocalWireError as error:
            raise ValueError(str(error)) from error

    def _call_cache(self, message: m.Message) -> m.Message:
        self._require_run()
        return self._lane.call(message, self, is_cancellable=False)

    def _require_run(self) -> None:
        if self._lane.owner is not self:
            raise RuntimeError("the run has ended, so it can neither write nor query")


def buffered_lines(local: Local) -> list[m.Lines]:
    """Return the buffered lines of a run in parts; no method, since plugins see all of those."""
    buffered = local._buffered  # noqa: SLF001 - as said
    return [part for database, lines in buffered.items() for part in _parts(database, lines)]


def _parts(database: str | None, texts: list[str]) -> list[m.Lines]:
    parts = []
    gathered: list[str] = []
    characters = 0
    for text in texts:
        if gathered and characters + len(text) > LIMITS.lines_characters:
            parts.append(m.Lines(database, "\n".join(gathered)))
            gathered, characters = [], 0
        gathered.append(text)
        characters += len(text) + 1
    return [*parts, m.Lines(database, "\n".join(gathered))]


def clean(text: str) -> str:
    """Cut a text to what a message may hold, and replace what is no Unicode."""
    if len(text) > LIMITS.text_characters:
        text = text[: LIMITS.text_characters] + "..."
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _check_text(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"argument '{name}': must be str, not {type(value).__name__}")
    return value


def _check_parameters(args: object) -> dict[str, Any] | None:
    if args is None:
        return None
    if not isinstance(args, Mapping):
        raise TypeError(f"argument 'args': must be dict, not {type(args).__name__}")
    for key, value in args.items():
        _check_text("args", key)
        if not isinstance(value, str | int | float | None):
            raise TypeError(
                f"argument 'args': the value of {key!r} must be None, bool, int, float or str, "
                f"not {type(value).__name__}"
            )
    return dict(args)
