"""One lane of a trigger: it follows the lifecycle, and holds the event in hand until it is done.

`run` asks `engine.workers.lifecycle` what follows from what happened, and carries it out. A trigger
without `run_async` has one runner, in its supervisor's thread, so its events keep their order;
with it there are several, each in a thread of its own, that share process, inbox and cache.
"""

from __future__ import annotations

import random
import time
from dataclasses import replace
from typing import assert_never

from engine.errors import EngineError, TriggerDown, WorkerDied
from engine.faultpoint import reach
from engine.ingest.transaction import RunIdentity
from engine.model.event import Crashed, Failed, Outcome, OverLimit, Succeeded
from engine.plugins.source import Source
from engine.workers import moves
from engine.workers.assignment import Assignment, Shared
from engine.workers.backoff import STABLE_AFTER_S, delay_s
from engine.workers.boarding import Boarding
from engine.workers.bookkeeper import Bookkeeper
from engine.workers.callbacks import RunContext
from engine.workers.conversation import GreetingFailed, StopAsked
from engine.workers.crew import Crew
from engine.workers.generation import LaneEnd, Worker
from engine.workers.inbox import Inbox, PendingRequest, Redriven, Work
from engine.workers.lane import NotTaken
from engine.workers.lifecycle import step
from engine.workers.redrives import policy_for
from engine.workers.runs import error_of, event_range
from engine.workers.triggerlog import TriggerLog

__all__ = ["Runner"]

_FAREWELL_S = 2.0
_DYING_S = 1.0  # between the loss of the connection and the end of the process


class Runner:
    """Drives one lane; `phase` and `worker_pid` may be read by any thread."""

    def __init__(  # noqa: PLR0913  its collaborators, each used
        self,
        assignment: Assignment,
        lane: int,
        inbox: Inbox,
        *,
        crew: Crew,
        end: LaneEnd,
        trigger_log: TriggerLog,
        shared: Shared,
    ) -> None:
        self._assignment = assignment
        self._lane = lane
        self._inbox = inbox
        self._crew = crew
        self._end = end
        self._log = trigger_log
        self._shared = shared
        self._books = Bookkeeper(assignment, inbox, trigger_log, shared)
        self._boarding = Boarding(assignment.code, lane, inbox, crew=crew, end=end)
        self._state = moves.State()
        self._worker: Worker | None = None
        self._loaded: Source | None = None
        self._work: Work | None = None

    @property
    def worker_pid(self) -> int | None:
        """Process id of the worker, or None while there is none."""
        worker = self._worker
        return worker.process.pid if worker is not None else None

    @property
    def phase(self) -> moves.Phase:
        """What the runner is doing."""
        return self._state.phase

    def run(self) -> None:
        """Follow the lifecycle until the trigger is unwanted or disables itself."""
        happening: moves.Happening = moves.Wanted()
        try:
            while True:
                policy = policy_for(self._work, self._assignment.policy)
                following = step(self._state, happening, policy)
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
            self._abandon(TriggerDown())
            self._drop_worker()
            self._crew.solitude.leave(self._lane)

    def _perform(self, action: moves.Action) -> moves.Happening:
        match action:
            case moves.Spawn():
                return self._board()
            case moves.AwaitWork():
                return self._await_work()
            case moves.RunEvent():
                return self._run_event()
            case moves.Commit(result, given_up):
                return self._commit(result, given_up)
            case moves.Disable():
                return self._books.disable()
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
                self._drop_worker()
            case moves.GiveUpEvent(outcome):
                self._abandon(error_of(outcome))
            case moves.RefuseWaiting(reason) if self._lane == 0:
                self._inbox.refuse(WorkerDied(reason))
            case moves.RefuseWaiting():
                pass  # the first lane may have started another process already
            case _:
                assert_never(effect)

    def _board(self) -> moves.Happening:
        if self._end.is_stopping():
            return moves.Unwanted()
        try:
            self._worker = self._boarding.board()
        except (GreetingFailed, EngineError) as error:
            return moves.StartFailed(str(error))
        except StopAsked:
            return moves.Unwanted()
        return moves.Started() if self._worker is not None else moves.Unwanted()

    def _await_work(self) -> moves.Happening:
        worker = self._expect_worker()
        while True:
            self._end.nudge.clear()
            if self._end.is_stopping():
                return moves.Unwanted()
            try:
                self._work = self._inbox.take()
            except EngineError as error:
                return moves.ReadFailed(f"the next event could not be read: {error}")
            if self._work is not None:
                reach("run.event_taken")
                return moves.WorkArrived()
            if self._crew.has_fresh(self._lane, worker):
                return self._change_over(worker)
            ending = worker.conversation.rest()
            if ending is not None:
                return self._lost(worker, ending)

    def _lost(self, worker: Worker, ending: str) -> moves.Happening:
        if worker.generation.was_stopped or self._lane > 0:
            return moves.Displaced()  # the first lane tells of the end
        is_stable = time.monotonic() - worker.generation.started_s > STABLE_AFTER_S
        return moves.WorkerLost(ending, is_stable)

    def _run_event(self) -> moves.Happening:
        worker = self._expect_worker()
        while True:
            self._end.nudge.clear()
            if self._end.is_stopping():
                return moves.Unwanted()
            if self._crew.has_fresh(self._lane, worker):
                return self._change_over(worker)
            ending = worker.conversation.end_before_run()
            if ending is not None:
                return self._lost(worker, ending)
            if self._crew.solitude.enter(self._lane):
                break
            ending = worker.conversation.rest()
            if ending is not None:
                return self._lost(worker, ending)
        happening = self._run_now(worker, self._expect_work())
        if isinstance(happening, moves.Ran):
            return self._released(happening)
        self._crew.solitude.interrupt(self._lane)
        return happening

    def _released(self, ran: moves.Ran) -> moves.Ran:
        """Leave the process to others, or find out whether others were in it when it died."""
        if not isinstance(ran.outcome, Crashed | OverLimit):
            self._crew.solitude.leave(self._lane)
            return ran
        is_shared = self._crew.solitude.die(self._lane)
        return moves.Ran(replace(ran.outcome, is_shared=is_shared))

    def _run_now(self, worker: Worker, work: Work) -> moves.Happening:
        try:
            newest = self._assignment.code.current()
        except EngineError as error:
            return moves.Ran(Failed(str(error), ""))
        source = worker.generation.fitting(newest, may_leave=self._lane == 0)
        if source is None:
            self._crew.renew(worker)
            return self._change_over(worker)
        identity = self._books.begin(work, self._state.runs + 1, worker.generation.meter)
        try:
            outcome = self._converse(worker, source, work, identity)
        except StopAsked:
            return moves.Unwanted()
        except NotTaken as error:  # of what comes before the event, which is not to blame
            ending = worker.conversation.rest(time.monotonic() + _DYING_S)
            return self._lost(worker, ending or str(error))
        except EngineError as error:
            outcome = Crashed(str(error), worker.process.last_words())
        if isinstance(outcome, Crashed) and worker.generation.was_stopped:
            return moves.Displaced()
        self._books.ended(outcome)
        return moves.Ran(outcome)

    def _converse(
        self, worker: Worker, source: Source, work: Work, identity: RunIdentity
    ) -> Outcome:
        answer = work.sink if isinstance(work, PendingRequest) else None
        if self._loaded is None or self._loaded.version != source.version:
            worker.load(source)
            self._loaded = source
        message = self._shared.encoder.message(identity.run.run_id, work)
        reach("run.event_encoded")
        run = RunContext(identity, event_range(work), answer)
        outcome = worker.conversation.run(message, run)
        if isinstance(outcome, Failed) and run.was_let_down:
            return replace(outcome, is_ours=True)
        return outcome

    def _commit(self, result: Succeeded | None, given_up: moves.GivenUp | None) -> moves.Happening:
        try:
            happening = self._books.commit(self._expect_work(), result, given_up)
        except EngineError as error:
            if self._end.is_stopping():
                return moves.Unwanted()
            return moves.CommitFailed(f"the run could not be committed: {error}")
        if isinstance(happening, moves.Committed):
            self._work = None
            self._crew.solitude.leave(self._lane)
        return happening

    def _pause(self, attempt: int) -> moves.Happening:
        delay = delay_s(attempt, random.random())  # noqa: S311  spreads restarts, guards nothing
        worker = self._worker
        if worker is None:
            self._boarding.pause(delay)
        elif (ending := worker.conversation.pause(delay)) is not None:
            return self._lost(worker, ending)  # other lanes may wait for the next process
        return moves.Unwanted() if self._end.is_stopping() else moves.PauseOver()

    def _change_over(self, worker: Worker) -> moves.Happening:
        worker.retire(_FAREWELL_S, is_first=self._lane == 0)
        return moves.CodeChanged()

    def _abandon(self, error: EngineError) -> None:
        work, self._work = self._work, None
        if isinstance(work, PendingRequest):
            work.sink.fail(error)
        elif isinstance(work, Redriven):
            work.on_end()

    def _drop_worker(self) -> None:
        worker, self._worker, self._loaded = self._worker, None, None
        if worker is None:
            return
        if self._end.is_stopping():
            worker.leave()  # other lanes have their grace too; the last to leave ends the process
            return
        worker.end()
        lost = worker.mirror.take_lost()
        if lost:
            self._log.engine_line("WARN", f"cache keys lost with the worker: {', '.join(lost)}")

    def _expect_worker(self) -> Worker:
        if self._worker is None:
            raise AssertionError("the lifecycle spawns before it runs")
        return self._worker

    def _expect_work(self) -> Work:
        if self._work is None:
            raise AssertionError("the lifecycle takes work before it runs")
        return self._work
