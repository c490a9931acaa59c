"""What a dry run would have written: collected, shown line by line, and checked.

A run's synchronous writes stand before its buffered ones, as they would be visible. The lines of
a database are checked together, all or none, as one write of now, against the real catalog.

Source: InfluxDB 3 Core for the texts of errors.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future

from engine.catalog.state import Catalog
from engine.errors import InvalidDatabaseName
from engine.ingest.body import rehearse
from engine.ingest.transaction import RunIdentity
from engine.lineprotocol.split import line_end
from engine.model.columns import RejectedLine
from engine.model.entry import IdempotenceKey
from engine.model.event import BufferedLines
from engine.model.names import check_internal_name

__all__ = ["DryWrites", "shown_rejection", "write_errors", "writes_by_database"]

_MOST_REJECTIONS = 100
_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t", "\0": "\\0"}


class DryWrites:
    """Takes synchronous writes and stores nothing; used by the thread of its run."""

    def __init__(self) -> None:
        self.lines: list[BufferedLines] = []

    def write_now(
        self, _who: RunIdentity, lines: BufferedLines, _key: IdempotenceKey | None
    ) -> Future[int]:
        """Note lines; they are checked after the run."""
        self.lines.append(lines)
        done: Future[int] = Future()
        done.set_result(0)
        return done


def writes_by_database(parts: Iterable[BufferedLines], own: str) -> dict[str, tuple[str, ...]]:
    """Return single lines by database, in order.

    Args:
        parts: as they were written.
        own: the database of parts that name none.
    """
    lines: dict[str, list[str]] = {}
    for part in parts:
        lines.setdefault(part.database or own, []).extend(_split(part.text))
    return {database: tuple(found) for database, found in lines.items()}


def write_errors(
    catalog: Catalog, writes: Mapping[str, Sequence[str]], now_ns: int
) -> tuple[str, ...]:
    """Return why the server would not have taken what was written."""
    return tuple(
        error
        for database, lines in writes.items()
        for error in _database_errors(catalog, database, lines, now_ns)
    )


def shown_rejection(line: RejectedLine) -> str:
    """Word a bad line as Core's debugging output does."""
    return (
        f"WriteLineError {{ original_line: {_debug(line.text)}, line_number: {line.number}, "
        f"error_message: {_debug(line.reason)} }}"
    )


def _database_errors(
    catalog: Catalog, database: str, lines: Sequence[str], now_ns: int
) -> Iterator[str]:
    try:
        check_internal_name(database)
    except InvalidDatabaseName as error:
        yield f"database name {database} is invalid: {error}"
        return
    rehearsal = rehearse(catalog, database, "\n".join(lines), now_ns)
    for line in rehearsal.rejected[:_MOST_REJECTIONS]:
        yield f"line protocol parse error on write to db {database}: {shown_rejection(line)}"
    if (more := len(rehearsal.rejected) - _MOST_REJECTIONS) > 0:
        yield f"{more} more lines for db {database} are bad"
    if not rehearsal.tables and not rehearsal.rejected:
        yield f"Failed to validate output lines to db {database}: incoming write was empty"


def _split(text: str) -> Iterator[str]:
    """Cut at the ends of lines; a line feed inside a quoted string is none."""
    start = 0
    while start < len(text):
        end = line_end(text, start)
        if end > start:
            yield text[start:end]
        start = end + 1


def _debug(text: str) -> str:
    return '"' + "".join(_ESCAPES.get(character, character) for character in text) + '"'
