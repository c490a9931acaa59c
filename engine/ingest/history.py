"""Writes the history of runs, once a second, as one entry however many triggers ran.

A run does not wait for its record: what the last second held is lost when the server is killed.
Dead letters are not written here but with the commit that gives the event up.
"""

from __future__ import annotations

import logging
import threading

from engine.errors import EngineError
from engine.ingest.internal import InternalTables, RunRecord
from engine.ingest.writer import Writer
from engine.model.entry import Client, WriteEntry
from engine.service import CrashHandler, Service

__all__ = ["RunHistory"]

log = logging.getLogger(__name__)
_INTERVAL_S = 1.0
_MAX_WAITING = 50_000


class RunHistory(Service):
    """`add` is for any thread; `_condition` guards the records. Overflow rule: the newest go."""

    def __init__(
        self, tables: InternalTables, writer: Writer, on_crash: CrashHandler | None = None
    ) -> None:
        super().__init__("run-history", on_crash)
        self._tables = tables
        self._writer = writer
        self._condition = threading.Condition()
        self._waiting: list[RunRecord] = []

    def add(self, record: RunRecord) -> None:
        """Note a run that has ended."""
        with self._condition:
            if len(self._waiting) < _MAX_WAITING:
                self._waiting.append(record)
            if len(self._waiting) == 1:
                self._condition.notify()

    def run(self) -> None:
        """Write what has gathered, once an interval."""
        while not self.is_stopping:
            with self._condition:
                self._condition.wait_for(lambda: self._waiting or self.is_stopping)
            self._stop_requested.wait(_INTERVAL_S)
            self._flush()
        self._flush()  # what was added while the last were being written

    def wake(self) -> None:
        """Interrupt the wait for records."""
        with self._condition:
            self._condition.notify()

    def _flush(self) -> None:
        with self._condition:
            records, self._waiting = self._waiting, []
        if not records:
            return
        rows = self._tables.runs(records)
        try:
            self._writer.commit(WriteEntry(Client(), rows.database_id, (), None, (rows,)))
        except EngineError as error:
            log.warning(
                "history of runs not written",
                extra={"records": len(records), "reason": str(error)},
            )
