"""What is written down of a lane's runs: records, log lines, and the commit that settles an event.

The commit is the one moment that counts: before it the event is run again after an accident, after
it never. Used by the lane's own thread.
"""

from __future__ import annotations

import os
import uuid

from engine.errors import EngineError, UserError
from engine.faultpoint import reach
from engine.ingest.transaction import RunIdentity
from engine.model.entry import Run
from engine.model.event import Outcome, Succeeded, WalEvent
from engine.workers import moves
from engine.workers.assignment import Assignment, Shared
from engine.workers.inbox import Inbox, PendingRequest, Work
from engine.workers.ledger import SUCCEEDED, Ledger, error_code, event_of
from engine.workers.meter import Meter
from engine.workers.triggerlog import TriggerLog

__all__ = ["Bookkeeper"]


class Bookkeeper:
    """Writes for one lane."""

    def __init__(
        self, assignment: Assignment, inbox: Inbox, trigger_log: TriggerLog, shared: Shared
    ) -> None:
        self._assignment = assignment
        self._inbox = inbox
        self._log = trigger_log
        self._shared = shared
        self._ledger = Ledger(assignment.trigger, assignment.database, shared.clock)
        self._identity: RunIdentity | None = None

    def begin(self, work: Work, attempts: int, meter: Meter) -> RunIdentity:
        """Note that a run starts, and name it."""
        identity = self._identity = self._identify(work)
        self._ledger.begin(work, identity.run.run_id, attempts, meter)
        self._log.run_started(work, identity.run.run_id)
        return identity

    def ended(self, outcome: Outcome) -> None:
        """Note how a run ended; that of one that succeeded is told by its commit."""
        duration_ns = self._ledger.end()
        if isinstance(outcome, Succeeded):
            self._log.run_finished(duration_ns)
        else:
            self._note_run(type(outcome).__name__.lower(), error_code(outcome))

    def commit(
        self, work: Work, result: Succeeded | None, given_up: moves.GivenUp | None
    ) -> moves.Happening:
        """Make durable what the event came to: rows, dead letter and progress, or none of them.

        Raises:
            EngineError: the log does not take it.
        """
        lines = result.lines if result is not None else ()
        letter = self._ledger.letter_after(work, given_up, has_succeeded=result is not None)
        extra = () if letter is None else (self._shared.internal.dead_letters([letter]),)
        try:
            progress = self._inbox.progress_after(work)
            identity = self._identity or self._identify(work)
            rows = self._shared.writer.commit_run(identity, lines, progress, extra)
        except UserError as error:
            self._note_run("refused", error.code)
            return moves.CommitRefused(str(error), error.code)
        reach("run.committed")
        if result is not None:
            self._note_run(SUCCEEDED, None, rows)
        if letter is not None:
            reach("run.dead_letter_written")
            self._log.letter_kept(letter)
        self._inbox.done(work)
        reach("run.position_moved")
        if isinstance(work, PendingRequest) and result is not None:
            work.sink.finish(result.response)
        self._identity = None
        return moves.Committed()

    def disable(self) -> moves.Happening:
        """Have the catalog say that the trigger is disabled."""
        try:
            self._shared.persist_disabled(self._assignment.trigger)
        except EngineError as error:
            return moves.DisableFailed(str(error))
        reach("run.trigger_disabled")
        return moves.Disabled()

    def _note_run(self, outcome: str, code: str | None, rows_out: int = 0) -> None:
        record = self._ledger.close(outcome, code, rows_out)
        if record is not None:
            self._shared.history.add(record)

    def _identify(self, work: Work) -> RunIdentity:
        event = event_of(work)
        causes = event.causes if isinstance(event, WalEvent) else ()
        trigger = self._assignment.trigger
        run = Run(trigger.id, uuid.UUID(bytes=os.urandom(16), version=4).hex)
        return RunIdentity(
            run, self._assignment.database, trigger.database_id, (*causes, trigger.id)
        )
