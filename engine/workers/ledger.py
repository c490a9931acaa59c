"""What is kept of runs: a record of each, and the events that were given up."""

from __future__ import annotations

import os
import uuid
from dataclasses import dataclass, replace
from typing import assert_never

from engine.clock import Clock
from engine.ingest.internal import DeadLetter, RunRecord, pack_event
from engine.model.event import (
    Crashed,
    Failed,
    Outcome,
    OverLimit,
    ProtocolBroken,
    ScheduledEvent,
    Succeeded,
    TimedOut,
    WalEvent,
)
from engine.model.trigger import Trigger, kind
from engine.workers.inbox import PendingRequest, Redriven, Work
from engine.workers.meter import Meter, Usage
from engine.workers.moves import GivenUp

__all__ = ["Ledger", "event_of"]

SUCCEEDED = "succeeded"


@dataclass(slots=True)
class _OpenRun:
    work: Work
    run_id: str
    attempts: int
    meter: Meter
    start_ns: int
    cpu_before_s: float | None
    duration_ns: int = 0
    used: Usage | None = None


class Ledger:
    """Words the records of one trigger; used by one lane's thread."""

    def __init__(self, trigger: Trigger, database: str, clock: Clock) -> None:
        self._trigger = trigger
        self._database = database
        self._clock = clock
        self._open: _OpenRun | None = None

    def begin(self, work: Work, run_id: str, attempts: int, meter: Meter) -> None:
        """Note that a run starts; `attempts` are those since the event was taken."""
        before = _attempts(work.letter) if isinstance(work, Redriven) else 0
        self._open = _OpenRun(
            work, run_id, before + attempts, meter, self._clock.now_ns(), meter.cpu_s()
        )

    def end(self) -> int:
        """Note that the run has come to its end; return how long it took, in nanoseconds."""
        run = self._open
        if run is None:
            return 0
        run.duration_ns = max(0, self._clock.now_ns() - run.start_ns)
        run.used = run.meter.usage()
        return run.duration_ns

    def close(self, outcome: str, code: str | None, rows_out: int = 0) -> RunRecord | None:
        """Return the record of the run, once it is known what became of it; None the second time.

        Args:
            outcome: `succeeded`, or the kind of failure.
            code: stable name of the failure.
            rows_out: rows that were committed with the run.
        """
        run, self._open = self._open, None
        if run is None:
            return None
        start, end, tick, rows = _facts(run.work)
        used, before_s = run.used, run.cpu_before_s
        return RunRecord(
            time=run.start_ns,
            database=self._database,
            trigger_name=self._trigger.name,
            kind=kind(self._trigger.spec).value,
            run_id=run.run_id,
            position_from=start,
            position_to=end,
            tick=tick,
            duration_ns=run.duration_ns,
            outcome=outcome,
            attempts=run.attempts,
            rows_in=rows,
            rows_out=rows_out,
            cpu_s=None if used is None or before_s is None else max(0.0, used.cpu_s - before_s),
            peak_memory_bytes=None if used is None else used.peak_memory_bytes,
            error_code=code,
        )

    def letter_after(
        self, work: Work, given_up: GivenUp | None, *, has_succeeded: bool
    ) -> DeadLetter | None:
        """Return the row that keeps a given-up event, or tells what became of its letter."""
        if isinstance(work, Redriven):
            if has_succeeded:
                return work.letter.in_state("retried")
            return None if given_up is None else self._failed_again(work.letter, given_up)
        event = event_of(work)
        return None if given_up is None or event is None else self._letter(event, given_up)

    def _failed_again(self, letter: DeadLetter, given_up: GivenUp) -> DeadLetter:
        return replace(
            letter.in_state("open"),
            attempts=_attempts(letter) + given_up.attempts,
            error_code=error_code(given_up.outcome),
            error=given_up.text,
        )

    def _letter(self, work: WalEvent | ScheduledEvent, given_up: GivenUp) -> DeadLetter:
        start, end, tick, rows = _facts(work)
        return DeadLetter(
            time=self._clock.now_ns(),
            database=self._database,
            trigger_name=self._trigger.name,
            id=uuid.UUID(bytes=os.urandom(16), version=4).hex,
            state="open",
            kind=kind(self._trigger.spec).value,
            position_from=start,
            position_to=end,
            tick=tick,
            rows=rows,
            attempts=given_up.attempts,
            error_code=error_code(given_up.outcome),
            error=given_up.text,
            event=pack_event(work),
        )


def event_of(work: Work) -> WalEvent | ScheduledEvent | None:
    """Return the event behind the work; None for a request."""
    match work:
        case WalEvent() | ScheduledEvent():
            return work
        case Redriven(event, _):
            return event
        case PendingRequest():
            return None
        case _:
            assert_never(work)


def _attempts(letter: DeadLetter) -> int:
    return letter.attempts or 0


def error_code(outcome: Outcome) -> str | None:
    """Return the stable name of a failure; None for success."""
    match outcome:
        case Succeeded():
            return None
        case Failed():
            return outcome.code
        case TimedOut():
            return "run_timed_out"
        case OverLimit():
            return "over_limit"
        case Crashed():
            return "worker_died"
        case ProtocolBroken():
            return "protocol_fault"
        case _:
            assert_never(outcome)


def _facts(work: Work) -> tuple[int | None, int | None, int | None, int]:
    event = event_of(work)
    match event:
        case WalEvent(start, end, tables, _):
            return start, end, None, sum(table.rows.num_rows for table in tables)
        case ScheduledEvent(time_ns):
            return None, None, time_ns, 0
        case None:
            return None, None, None, 0
        case _:
            assert_never(event)
