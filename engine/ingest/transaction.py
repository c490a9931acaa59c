"""What one run of a plugin wants to write, and its commit as a single entry.

All lines that a run buffered and its trigger's progress become one entry, or none of them does:
that is what makes the effects of an event on the databases exactly once. One bad line makes the
whole run a failed run.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass

from engine.errors import DatabaseNotFound, EmptyWrite, UserError
from engine.ingest.writer import LinesRejected, Prepared, Writer
from engine.lineprotocol import Precision
from engine.model.entry import IdempotenceKey, Progress, Run, RunEntry, TableRows, WriteEntry
from engine.model.event import BufferedLines
from engine.model.names import INTERNAL_DATABASE, check_internal_name

__all__ = ["PluginWriter", "RunIdentity", "WriteRefused"]


class WriteRefused(UserError):
    """Lines of a plugin cannot be written; the message is worded as the plugin API does."""

    code = "plugin_write_refused"


class _NothingWritten(WriteRefused):
    """There is no line in what was to be written."""


@dataclass(frozen=True, slots=True)
class RunIdentity:
    """Whose write it is.

    Args:
        run: trigger and run id.
        database: name of the trigger's database.
        database_id: its catalog id.
        causes: the event's cause chain with the trigger's own id appended.
    """

    run: Run
    database: str
    database_id: int
    causes: tuple[int, ...]


class PluginWriter:
    """Writes for plugins; called in the thread that drives the plugin's lane."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    def write_now(
        self, who: RunIdentity, lines: BufferedLines, key: IdempotenceKey | None
    ) -> Future[int]:
        """Write lines at once, apart from the run's own commit.

        Raises:
            WriteRefused: a line or the database name is not accepted.
        """
        prepared = self._prepare(who, lines, "error writing line protocol to {}: ")
        entry = WriteEntry(who.run, prepared.database_id, who.causes, key, prepared.tables)
        return self._writer.commit(entry)

    def commit_run(
        self,
        who: RunIdentity,
        lines: Sequence[BufferedLines],
        progress: Progress | None,
        extra: tuple[TableRows, ...] = (),
    ) -> int:
        """Commit a finished run and wait until it is durable.

        Args:
            who: the run.
            lines: what it buffered, in order.
            progress: the trigger's new position or tick; None for a request.
            extra: rows of our own that come with it.

        Returns:
            How many rows the run has written.

        Raises:
            WriteRefused: a line or a database name is not accepted; nothing is committed.
            EngineFault: the log does not take the entry.
        """
        tables: list[TableRows] = []
        for part in _by_database(who, lines):
            # A builder of no lines harms nobody, and is no reason to lose the others.
            with suppress(_NothingWritten):
                tables += self._prepare(who, part, "error writing back lines to {}: ").tables
        if tables or extra or progress is not None:
            entry = RunEntry(who.run, who.database_id, who.causes, progress, (*tables, *extra))
            self._writer.commit(entry).result()
        return sum(table.rows.num_rows for table in tables)

    def _prepare(self, who: RunIdentity, lines: BufferedLines, context: str) -> Prepared:
        database = lines.database if lines.database is not None else who.database
        prefix = context.format(database)
        _check_target(database, prefix)
        # One that is deleted while the run is going on must not come back by its rows.
        known_id = who.database_id if database == who.database else None
        try:
            prepared = self._writer.prepare(
                database,
                lines.text,
                Precision.NANOSECOND,
                accept_partial=False,
                known_id=known_id,
            )
            if known_id not in {None, prepared.database_id}:  # another has its name and tables
                raise DatabaseNotFound(database)
        except LinesRejected as error:
            reason = f"{prefix}Cannot write: line protocol parse failed: {error}"
            raise WriteRefused(reason) from error
        except EmptyWrite as error:
            raise _NothingWritten(f"{prefix}Cannot write: {error}") from error
        except UserError as error:
            raise WriteRefused(f"{prefix}Cannot write: {error}") from error
        return prepared


def _by_database(who: RunIdentity, lines: Sequence[BufferedLines]) -> list[BufferedLines]:
    texts: dict[str, list[str]] = {}
    for part in lines:
        texts.setdefault(part.database or who.database, []).append(part.text)
    return [BufferedLines(database, "\n".join(parts)) for database, parts in texts.items()]


def _check_target(database: str, prefix: str) -> None:
    if database == INTERNAL_DATABASE:
        raise WriteRefused(f"{prefix}cannot write to the internal database")
    try:
        check_internal_name(database)
    except UserError as error:
        raise WriteRefused(f"{prefix}invalid database name: {error}") from error
