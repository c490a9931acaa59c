"""One thread per trigger: it owns the worker, the event in hand and the order of events.

`run` asks `engine.workers.lifecycle` what follows from what happened, and carries it out. The
process is spawned by this thread because its parent-death signal follows it.
"""

from __future__ import annotations

import os
import random
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import assert_never

from engine.clock import Clock
from engine.errors import EngineError, Stopping, UserError, WorkerDied
from engine.ingest.transaction import PluginWriter, RunIdentity
from engine.model.entry import Run
from engine.model.event import (
    Crashed,
    Failed,
    Succeeded,
    WalEvent,
)
from engine.model.trigger import Trigger
from engine.plugins.source import PluginCode, Source
from engine.service import Service
from engine.workers import moves
from engine.workers.backoff import STABLE_AFTER_S, delay_s
from engine.workers.callbacks import RunContext
from engine.workers.conversation import GreetingFailed, StopAsked
from engine.workers.inbox import Inbox, PendingRequest, RequestInbox, Work
from engine.workers.lifecycle import step
from engine.workers.nudge import Nudge
from engine.workers.runs import EventEncoder, error_of, event_range
from engine.workers.spawn import Spawner, Worker
from engine.workers.triggerlog import TriggerLog

__all__ = ["Assignment", "Shared", "Supervisor"]


@dataclass(frozen=True, slots=True)
class Assignment:
    """Which trigger, of which database, with which plugin and policy."""

    trigger: Trigger
    database: str
    code: PluginCode
    policy: moves.Policy


@dataclass(frozen=True, slots=True)
class Shared:
    """What all supervisors use together; every part may be called from any thread."""

    writer: PluginWriter
    encoder: EventEncoder
    clock: Clock
    persist_disabled: Callable[[Trigger], None]


class Supervisor(Service):
    """Drives one trigger; `request_stop` and the inbox are for any thread, all else is its own."""

    def __init__(
        self,
        assignment: Assignment,
        inbox: Inbox,
        nudge: Nudge,
        *,
        spawner: Spawner,
        trigger_log: TriggerLog,
        shared: Shared,
    ) -> None:
        super().__init__(f"trigger-{assignment.trigger.id}")
        self.trigger = assignment.trigger
        self.inbox = inbox
        self._assignment = assignment
        self._nudge = nudge
        self._spawner = spawner
        self._log = trigger_log
        self._shared = shared
        self._state = moves.State()
        self._worker: Worker | None = None
        self._loaded: Source | None = None
        self._work: Work | None = None
        self._identity: RunIdentity | None = None

    def __repr__(self) -> str:
        return f"<Supervisor of {self.trigger.name}: {self._state.phase.value}>"

    @property
    def worker_pid(self) -> int | None:
        """Process id of the worker, or None while there is none."""
        worker = self._worker
        return worker.process.pid if worker is not None else None

    @property
    def phase(self) -> moves.Phase:
        """What the supervisor is doing."""
        return self._state.phase

    def run(self) -> None:
        """Follow the lifecycle until the trigger is unwanted or disables itself."""
        happening: moves.Happening = moves.Wanted()
        try:
            while True:
                following = step(self._state, happening, self._assignment.policy)
                self._state = following.state
                for effect in following.effects:
                    self._carry_out(effect)
                if isinstance(following.action, moves.End):
                    return
                happening = self._perform(following.action)
        except Exception as error:
            self._log.record_failure(
                f"the trigger has stopped by a defect of the engine: {error!r}"
            )
            raise
        finally:
            self._leave()

    def wake(self) -> None:
        """Interrupt whatever the thread waits for."""
        self._nudge.signal()

    def _perform(self, action: moves.Action) -> moves.Happening:
        match action:
            case moves.Spawn():
                return self._spawn()
            case moves.AwaitWork():
                return self._await_work()
            case moves.RunEvent():
                return self._run_event()
            case moves.Commit(result):
                return self._commit(result)
            case moves.Pause(attempt):
                return self._pause(attempt)
            case moves.End():
                raise AssertionError("the loop ends before this")
            case _:
                assert_never(action)

    def _carry_out(self, effect: moves.Effect) -> None:
        match effect:
            case moves.RecordError(text):
                self._log.record_failure(text)
            case moves.KillWorker():
                self._kill()
            case moves.GiveUpEvent(outcome):
                self._abandon(error_of(outcome))
            case moves.RefuseWaiting(reason):
                self.inbox.refuse(WorkerDied(reason))
            case moves.PersistDisabled():
                self._shared.persist_disabled(self.trigger)
            case _:
                assert_never(effect)

    def _spawn(self) -> moves.Happening:
        if self.is_stopping:
            return moves.Unwanted()
        try:
            self._worker = self._spawner.spawn(
                self._nudge, is_stopping=lambda: self.is_stopping, log=self._log.plugin_line
            )
            self._worker.greet(self._shared.clock.now_ns())
        except (GreetingFailed, EngineError) as error:
            return moves.StartFailed(str(error))
        except StopAsked:
            return moves.Unwanted()
        return moves.Started()

    def _await_work(self) -> moves.Happening:
        worker = self._expect_worker()
        while True:
            self._nudge.clear()
            if self.is_stopping:
                return moves.Unwanted()
            self._work = self.inbox.take()
            if self._work is not None:
                return moves.WorkArrived()
            ending = worker.conversation.rest()
            if ending is not None:
                is_stable = time.monotonic() - worker.started_s > STABLE_AFTER_S
                return moves.WorkerLost(ending, is_stable)

    def _run_event(self) -> moves.Happening:
        worker, work = self._expect_worker(), self._expect_work()
        try:
            source = self._assignment.code.current()
        except EngineError as error:
            return moves.Ran(Failed(str(error), ""))
        if self._is_stale(source):
            return moves.CodeChanged()
        self._identity = self._identify(work)
        sink = work.sink if isinstance(work, PendingRequest) else None
        context = RunContext(self._identity, event_range(work), sink)
        try:
            self._load(worker, source)
            message = self._shared.encoder.message(self._identity.run.run_id, work)
            self._log.run_started(work)
            start_ns = time.perf_counter_ns()
            outcome = worker.conversation.run(message, context)
            if isinstance(outcome, Succeeded):
                self._log.run_finished(time.perf_counter_ns() - start_ns)
            return moves.Ran(outcome)
        except StopAsked:
            return moves.Unwanted()
        except EngineError as error:
            return moves.Ran(Crashed(str(error), worker.process.last_words()))

    def _commit(self, result: Succeeded | None) -> moves.Happening:
        work = self._expect_work()
        lines = result.lines if result is not None else ()
        identity = self._identity or self._identify(work)
        try:
            self._shared.writer.commit_run(identity, lines, self.inbox.progress_after(work))
        except UserError as error:
            return moves.CommitRefused(str(error))
        except EngineError as error:
            if self.is_stopping:
                return moves.Unwanted()
            if isinstance(work, PendingRequest):  # it is not repeated
                return moves.CommitRefused(f"the run could not be committed: {error}")
            return moves.CommitFailed(f"the run could not be committed: {error}")
        self.inbox.done(work)
        self._answer(work, result)
        self._work = None
        return moves.Committed()

    def _pause(self, attempt: int) -> moves.Happening:
        delay = delay_s(attempt, random.random())  # noqa: S311  spreads restarts, guards nothing
        until_s = time.monotonic() + delay
        while (left_s := until_s - time.monotonic()) > 0 and not self.is_stopping:
            self._stop_requested.wait(left_s)
        return moves.Unwanted() if self.is_stopping else moves.PauseOver()

    def _is_stale(self, source: Source) -> bool:
        loaded = self._loaded
        return source.folder is not None and loaded is not None and loaded.version != source.version

    def _load(self, worker: Worker, source: Source) -> None:
        if self._loaded is None or self._loaded.version != source.version:
            worker.load(source)
            self._loaded = source

    def _identify(self, work: Work) -> RunIdentity:
        causes = work.causes if isinstance(work, WalEvent) else ()
        trigger = self.trigger
        run = Run(trigger.id, uuid.UUID(bytes=os.urandom(16), version=4).hex)
        return RunIdentity(
            run, self._assignment.database, trigger.database_id, (*causes, trigger.id)
        )

    def _answer(self, work: Work, result: Succeeded | None) -> None:
        if isinstance(work, PendingRequest) and result is not None:
            work.sink.finish(result.response)

    def _abandon(self, error: EngineError) -> None:
        work, self._work = self._work, None
        if isinstance(work, PendingRequest):
            work.sink.fail(error)

    def _leave(self) -> None:
        if isinstance(self.inbox, RequestInbox):
            self.inbox.close()
        self._abandon(Stopping())
        self._kill()
        self._nudge.close()

    def _kill(self) -> None:
        worker, self._worker, self._loaded = self._worker, None, None
        if worker is None:
            return
        worker.end()
        lost = worker.mirror.take_lost()
        if lost and not self.is_stopping:
            self._log.engine_line("WARN", f"cache keys lost with the worker: {', '.join(lost)}")

    def _expect_worker(self) -> Worker:
        if self._worker is None:
            raise AssertionError("the lifecycle spawns before it runs")
        return self._worker

    def _expect_work(self) -> Work:
        if self._work is None:
            raise AssertionError("the lifecycle takes work before it runs")
        return self._work
