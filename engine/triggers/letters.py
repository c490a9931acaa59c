"""Events that were given up: look at them, run them again, or drop them.

A letter is `open` until a later run of its event succeeds or somebody drops it. The run that
succeeds changes the state in its own commit, so the rows it writes are there exactly once. A letter
is in one pair of hands at a time: whoever retries or drops it holds it before he looks at its
state, and a retried one is held until its run has ended, however that was.

Threads: any may call; `_lock` guards which letters are held. `drop` waits for the disk.
"""

from __future__ import annotations

import functools
import logging
import threading
from collections.abc import Mapping, Sequence
from typing import Protocol

import pyarrow as pa

from engine.catalog.store import CatalogStore
from engine.errors import DeadLetterNotOpen, NotFound, TriggerNotRunning
from engine.ingest.internal import DEAD_LETTERS, DeadLetter, InternalTables, unpack_event
from engine.ingest.writer import Writer
from engine.model.entry import Client, WriteEntry
from engine.model.schema import TIME
from engine.model.trigger import kind
from engine.query.history_tables import DEAD_LETTER_COLUMNS
from engine.query.tables import QueryService
from engine.workers.inbox import Redriven

__all__ = ["DeadLetters"]

log = logging.getLogger(__name__)
_OPEN = "open"


class Redrive(Protocol):
    """What hands an event to its trigger; see `engine.workers.registry`."""

    def __call__(self, trigger_id: int, work: Redriven) -> None:
        """Queue an event; raises TriggerNotRunning."""
        ...


class DeadLetters:
    """The letters of all databases; see the module for threads."""

    def __init__(
        self,
        catalog: CatalogStore,
        queries: QueryService,
        tables: InternalTables,
        writer: Writer,
        redrive: Redrive,
    ) -> None:
        self._catalog = catalog
        self._queries = queries
        self._tables = tables
        self._writer = writer
        self._redrive = redrive
        self._lock = threading.Lock()
        self._held: set[str] = set()

    def letters(self, database: str, *, with_closed: bool = False) -> tuple[DeadLetter, ...]:
        """Return the letters of a database, oldest first, without their events.

        Args:
            database: name; `_internal` has all.
            with_closed: also those that have been retried or dropped.

        Raises:
            DatabaseNotFound: there is no such database.
        """
        names = [name for name in DEAD_LETTER_COLUMNS if name != "event"]
        condition = "TRUE" if with_closed else "state = $state"
        return self._select(database, names, condition, {"state": _OPEN})

    def find(self, database: str, id_: str) -> DeadLetter:
        """Return a letter with its event.

        Raises:
            DatabaseNotFound: there is no such database.
            NotFound: it has no such letter.
        """
        # Events are large: without the time, those of all letters might have to be read.
        names = [name for name in DEAD_LETTER_COLUMNS if name != "event"]
        for when in self._select(database, names, "id = $id", {"id": id_}):
            condition = f"event_time = to_timestamp_nanos({when.time}) AND id = $id"
            for found in self._select(database, DEAD_LETTER_COLUMNS, condition, {"id": id_}):
                return found
        raise NotFound(f"dead letter {id_}")

    def retry(self, database: str, id_: str) -> None:
        """Hand the event of a letter to its trigger; the run comes later.

        Raises:
            DatabaseNotFound, NotFound: the letter or its trigger is not there.
            DeadLetterNotOpen: it is not open, or being retried already.
            TriggerNotRunning: its trigger is not enabled, or of another kind than it was.
        """
        self._hold(id_)
        try:
            letter = self._find_open(database, id_)
            release = functools.partial(self._release, id_)
            work = Redriven(unpack_event(letter.event or ""), letter, release)
            self._redrive(self._trigger_id(letter), work)
        except BaseException:
            self._release(id_)
            raise
        log.info("dead letter retried", extra={"letter": id_, "trigger": letter.trigger_name})

    def drop(self, database: str, id_: str) -> None:
        """Close a letter without running its event.

        Raises:
            DatabaseNotFound, NotFound: it is not there.
            DeadLetterNotOpen: it is not open, or being retried.
            EngineFault: the log does not take the change.
        """
        self._hold(id_)
        try:
            letter = self._find_open(database, id_)
            rows = self._tables.dead_letters([letter.in_state("dropped")])
            self._writer.commit(WriteEntry(Client(), rows.database_id, (), None, (rows,))).result()
        finally:
            self._release(id_)
        log.info("dead letter dropped", extra={"letter": id_, "trigger": letter.trigger_name})

    def _hold(self, id_: str) -> None:
        with self._lock:
            if id_ in self._held:
                raise DeadLetterNotOpen(id_, "is being retried or dropped")
            self._held.add(id_)

    def _release(self, id_: str) -> None:
        with self._lock:
            self._held.discard(id_)

    def _find_open(self, database: str, id_: str) -> DeadLetter:
        letter = self.find(database, id_)
        if letter.state != _OPEN:
            raise DeadLetterNotOpen(id_, f"has been {letter.state}")
        return letter

    def _trigger_id(self, letter: DeadLetter) -> int:
        trigger = self._catalog.catalog.trigger_named(letter.database, letter.trigger_name)
        if letter.kind != kind(trigger.spec).value:  # another one has taken the name
            raise TriggerNotRunning(trigger.name, "takes other events than the letter's")
        return trigger.id

    def _select(
        self, database: str, names: Sequence[str], condition: str, params: Mapping[str, str]
    ) -> tuple[DeadLetter, ...]:
        columns = ", ".join(names).replace("event_time", "event_time AS time")
        sql = (
            f"SELECT {columns} FROM system.{DEAD_LETTERS} WHERE {condition} "  # noqa: S608 (ours)
            "ORDER BY event_time, id"
        )
        return _letters(self._queries.read(database, sql, params))


def _letters(rows: pa.Table) -> tuple[DeadLetter, ...]:
    """Turn rows into letters; a column that is left out is None in all of them."""
    place = rows.schema.get_field_index(TIME)
    plain = rows.set_column(place, TIME, rows[TIME].cast(pa.int64()))
    return tuple(DeadLetter(**row) for row in plain.to_pylist())
