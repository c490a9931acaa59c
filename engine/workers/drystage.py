"""One dry run on its way through a worker; used by the thread that runs it."""

from __future__ import annotations

import os
import threading
import time
import uuid
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import assert_never

from engine.clock import Clock
from engine.environments.home import Home
from engine.errors import EngineError
from engine.ingest.transaction import RunIdentity
from engine.logs import LogRing
from engine.model.dryrun import DryRun, RequestOccasion
from engine.model.entry import Run
from engine.model.event import (
    BodyState,
    BufferedLines,
    Crashed,
    Failed,
    Outcome,
    OverLimit,
    PluginResponse,
    ProtocolBroken,
    Succeeded,
    TimedOut,
)
from engine.model.spec import kind
from engine.model.trigger import Trigger, TriggerSettings
from engine.plugins.source import Source
from engine.workers.answers import AnswerSink
from engine.workers.callbacks import Callbacks, Queries, RunContext
from engine.workers.conversation import GreetingFailed
from engine.workers.drycaches import DryCache
from engine.workers.dryoccasion import spec_of
from engine.workers.drywrites import DryWrites
from engine.workers.generation import LaneEnd, Worker
from engine.workers.inbox import PendingRequest, Work
from engine.workers.nudge import Nudge
from engine.workers.premises import Premises
from engine.workers.runs import EventEncoder
from engine.workers.spawn import Spawner
from engine.workers.triggerlog import TriggerLog

__all__ = ["Rehearsed", "Stage"]

# For the copies of cache values, which come after the result, and for `atexit` functions.
_FAREWELL_S = 5.0


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """What came out of a run.

    Args:
        log_lines: `LEVEL: text`.
        lines: what would have been written, synchronous writes first.
        error: why the run failed, or None.
        response: the answer to a request, its body in one piece.
    """

    log_lines: tuple[str, ...]
    lines: tuple[BufferedLines, ...] = ()
    error: str | None = None
    response: PluginResponse | None = None


class Stage:
    """A worker's surroundings for one run, in which nothing is stored.

    Args:
        premises: those of all workers.
        queries: the real ones.
        clock: of log lines and caches.
        run: what is asked for.
        cache: of the run's name.
        home: where the plugin lives.
    """

    def __init__(
        self,
        premises: Premises,
        queries: Queries,
        clock: Clock,
        run: DryRun,
        cache: DryCache,
        *,
        home: Home | None = None,
    ) -> None:
        self._clock = clock
        self._run = run
        self._run_id = uuid.UUID(bytes=os.urandom(16), version=4).hex
        self._cache = cache
        self._ring = LogRing()
        self._writes = DryWrites()
        self._answer: Future[PluginResponse] = Future()
        self._sink = AnswerSink(self._answer, holds_all=True)
        trigger = _trigger(run)
        self._log = TriggerLog(self._ring, clock, trigger.name, kind(trigger.spec))
        callbacks = Callbacks(queries, self._writes, cache.shared)
        self._spawner = Spawner(
            premises, callbacks, trigger, run.database, mirror=cache.own, home=home
        )

    def perform(
        self, source: Source, work: Work, nudge: Nudge, stopping: threading.Event
    ) -> Rehearsed:
        """Run the plugin once, in a process of its own that has ended when this returns.

        Args:
            source: the plugin.
            work: what fires it.
            nudge: signalled when `stopping` is set.
            stopping: whether the run is to be given up.

        Raises:
            StopAsked: it was.
        """
        try:
            (worker,) = self._spawner.spawn([LaneEnd(nudge, self._log.plugin_line, stopping)])
            outcome = self._converse(worker, source, work)
        except (EngineError, GreetingFailed) as error:
            outcome = Failed(f"worker did not start: {error}", "")
        return self._rehearsed(outcome)

    def _converse(self, worker: Worker, source: Source, work: Work) -> Outcome:
        try:
            worker.greet(self._clock.now_ns())
            worker.load(source)
            message = EventEncoder().message(self._run_id, work)
            self._log.run_started(work, self._run_id)
            start_ns = time.perf_counter_ns()
            outcome = worker.conversation.run(message, self._context(work))
            elapsed_ns = time.perf_counter_ns() - start_ns
            if isinstance(outcome, Succeeded | Failed):
                worker.conversation.dismiss(_FAREWELL_S)
            if isinstance(outcome, Succeeded):
                self._log.run_finished(elapsed_ns)
            return outcome
        finally:
            worker.end()

    def _context(self, work: Work) -> RunContext:
        identity = RunIdentity(Run(0, self._run_id), self._run.database, 0, ())
        return RunContext(identity, None, self._sink if isinstance(work, PendingRequest) else None)

    def _rehearsed(self, outcome: Outcome) -> Rehearsed:
        if lost := self._cache.own.take_lost():
            self._log.engine_line(
                "WARN", f"cache keys that cannot be kept for the next test: {', '.join(lost)}"
            )
        if isinstance(outcome, Failed) and outcome.traceback:
            self._log.engine_line("ERROR", outcome.traceback.rstrip())
        logged = self._ring.rows()
        log_lines = tuple(map("{}: {}".format, logged.levels, logged.texts))
        written = tuple(self._writes.lines)
        if not isinstance(outcome, Succeeded):
            return Rehearsed(log_lines, written, _failure(outcome))
        lines = (*written, *outcome.lines)
        if not isinstance(self._run.occasion, RequestOccasion):
            return Rehearsed(log_lines, lines)
        self._sink.finish(outcome.response)
        return Rehearsed(log_lines, lines, None, _in_one_piece(self._answer.result()))


def _trigger(run: DryRun) -> Trigger:
    """Return a trigger as it would be if there were one."""
    return Trigger(
        id=0,
        database_id=0,
        name=f"test of {run.plugin}",
        plugin=run.plugin,
        spec=spec_of(run.occasion),
        settings=TriggerSettings(),
        arguments=run.arguments,
        disabled=False,
        start=0,
    )


def _in_one_piece(response: PluginResponse) -> PluginResponse:
    if isinstance(response.body, bytes):
        return response
    body = bytearray()
    while not isinstance(part := response.body.take(with_last=True), BodyState):
        body += part
    return replace(response, body=bytes(body))


def _failure(outcome: Failed | Crashed | TimedOut | OverLimit | ProtocolBroken) -> str:
    match outcome:
        case Failed(message, _):
            return message
        case Crashed(reason, stderr):
            return f"worker {reason}\n{stderr}" if stderr else f"worker {reason}"
        case TimedOut(limit_s):
            return f"run passed its time limit of {limit_s:g} s and was stopped"
        case OverLimit(text):
            return f"worker {text}"
        case ProtocolBroken(reason):
            return f"worker broke the protocol and was stopped: {reason}"
        case _:
            assert_never(outcome)
