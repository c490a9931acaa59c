"""The life of one trigger's worker as a pure function.

`step(state, happening, policy)` answers with the next state, effects to carry out at once, and
one action whose result is the next happening:

    starting -> ready <-> running -> committing -> ready
        |         |          |            |
        +---------+----------+------------+--> pausing | broken -> starting | running
                                          any --> ended

The event in hand stays with the supervisor until it is committed or given up, so order holds.
A run that fails follows the trigger's error behavior. A run whose worker *died* is delivered
again whatever that is, up to a limit of deaths of this one event (a worker that was killed over a
limit of its trigger has not died but failed: it would do so again); so is one that failed because
the engine could not do what it asked, as on a full disk, without a limit. A request is never
repeated. When several events were in the process that died, nobody knows whose fault it was: the
death is not counted, and `engine.workers.solitude` sees to it that each of them is run alone.
"""

from __future__ import annotations

from dataclasses import replace
from typing import assert_never

from engine.model.event import (
    Crashed,
    Failed,
    Outcome,
    OverLimit,
    ProtocolBroken,
    Succeeded,
    TimedOut,
)
from engine.model.trigger import ErrorBehavior
from engine.workers.moves import (
    AwaitWork,
    CodeChanged,
    Commit,
    CommitFailed,
    CommitRefused,
    Committed,
    Disable,
    Disabled,
    DisableFailed,
    Displaced,
    Effect,
    End,
    GivenUp,
    GiveUpEvent,
    Happening,
    KillWorker,
    Pause,
    PauseOver,
    Phase,
    Policy,
    Ran,
    ReadFailed,
    RecordError,
    RefuseWaiting,
    RunEvent,
    Spawn,
    Started,
    StartFailed,
    State,
    Step,
    Unwanted,
    Wanted,
    WorkArrived,
    WorkerLost,
)

__all__ = ["step"]


def step(state: State, happening: Happening, policy: Policy) -> Step:  # noqa: C901, PLR0911, PLR0912  one table
    """Decide what follows from what happened."""
    match happening:
        case Wanted():
            return Step(replace(state, phase=Phase.STARTING), (), Spawn())
        case Unwanted():
            ended = replace(state, phase=Phase.ENDED, has_worker=False, has_event=False)
            return Step(ended, (KillWorker(),), End())
        case Started():
            return _proceed(replace(state, has_worker=True))
        case StartFailed(reason):
            return _start_failed(state, reason)
        case WorkerLost(reason, was_stable):
            return _lost(replace(state, crashes=0) if was_stable else state, reason)
        case Displaced() if policy.is_request and state.has_event:
            return _displaced_request(state)
        case Displaced():
            return _proceed(replace(state, has_worker=False), KillWorker())
        case WorkArrived():
            return _proceed(_fresh(replace(state, has_event=True)))
        case CodeChanged():
            changed = replace(state, phase=Phase.STARTING, has_worker=False)
            return Step(changed, (KillWorker(),), Spawn())
        case Ran(outcome):
            return _ran(state, outcome, policy)
        case Committed():
            return _proceed(_fresh(replace(state, has_event=False, crashes=0)))
        case CommitRefused(reason, code):
            return _failed(state, Failed(reason, "", code), reason, policy)
        case CommitFailed(reason) if policy.is_request:
            return _failed(state, Failed(reason, ""), reason, policy)
        case CommitFailed(reason) | ReadFailed(reason):
            return _let_down(state, reason)
        case Disabled():
            return Step(replace(state, phase=Phase.ENDED), (), End())
        case DisableFailed(reason):
            crashes = state.crashes + 1
            pausing = replace(state, phase=Phase.PAUSING, crashes=crashes)
            text = f"the trigger could not be disabled and will be: {reason}"
            return Step(pausing, (RecordError(text),), Pause(crashes + 1))
        case PauseOver():
            return _proceed(state)
        case _:
            assert_never(happening)


def _fresh(state: State) -> State:
    return replace(state, failures=0, deaths=0, shared_deaths=0, faults=0)


def _proceed(state: State, *effects: Effect) -> Step:
    if state.is_disabling:
        return Step(replace(state, phase=Phase.PAUSING, has_worker=False), effects, Disable())
    if not state.has_worker:
        return Step(replace(state, phase=Phase.STARTING), effects, Spawn())
    if state.has_event:
        return Step(replace(state, phase=Phase.RUNNING), effects, RunEvent())
    return Step(replace(state, phase=Phase.READY), effects, AwaitWork())


def _displaced_request(state: State) -> Step:
    """Give up a request whose process was stopped for another run: it is not repeated."""
    reason = "was stopped because of another run"
    after = _proceed(replace(state, has_worker=False, has_event=False), KillWorker())
    effects = (RecordError(f"worker {reason}"), *after.effects, GiveUpEvent(Crashed(reason, "")))
    return replace(after, effects=effects)


def _start_failed(state: State, reason: str) -> Step:
    crashes = state.crashes + 1
    broken = replace(state, phase=Phase.BROKEN, has_worker=False, crashes=crashes)
    text = f"worker did not start: {reason}"
    effects = (RecordError(text), KillWorker(), RefuseWaiting(text))
    return Step(broken, effects, Pause(crashes + 1))


def _lost(state: State, reason: str) -> Step:
    crashes = state.crashes + 1
    pausing = replace(state, phase=Phase.PAUSING, has_worker=False, crashes=crashes)
    effects = (RecordError(f"worker ended between events: {reason}"), KillWorker())
    return Step(pausing, effects, Pause(crashes))


def _ran(state: State, outcome: Outcome, policy: Policy) -> Step:
    match outcome:
        case Succeeded():
            return Step(replace(state, phase=Phase.COMMITTING), (), Commit(outcome))
        case Failed(message, traceback, is_ours=True) if not policy.is_request:
            return _let_down(state, _with_details(message, traceback))
        case Failed(message, traceback):
            return _failed(state, outcome, _with_details(message, traceback), policy)
        case OverLimit(text, is_shared=True) if not policy.is_request:
            return _died_with_others(state, f"worker {text}")
        case TimedOut() | OverLimit() | ProtocolBroken():
            return _killed(state, outcome, policy)
        case Crashed(reason, stderr, is_shared=True) if not policy.is_request:
            return _died_with_others(state, _with_details(f"worker {reason}", stderr))
        case Crashed(reason, stderr):
            return _died(state, outcome, _with_details(f"worker {reason}", stderr), policy)
        case _:
            assert_never(outcome)


def _with_details(text: str, details: str) -> str:
    return f"{text}\n{details}" if details else text


def _killed(state: State, outcome: TimedOut | OverLimit | ProtocolBroken, policy: Policy) -> Step:
    after = _failed(replace(state, has_worker=False), outcome, _why(outcome), policy)
    return replace(after, effects=(KillWorker(), *after.effects))


def _why(outcome: TimedOut | OverLimit | ProtocolBroken) -> str:
    match outcome:
        case TimedOut(limit_s):
            return f"run passed its time limit of {limit_s:g} s and was stopped"
        case OverLimit(text):
            return f"worker {text}"
        case ProtocolBroken(reason):
            return f"worker broke the protocol and was stopped: {reason}"
        case _:
            assert_never(outcome)


def _failed(state: State, outcome: Outcome, text: str, policy: Policy) -> Step:
    record = RecordError(text)
    if policy.is_request:
        after = _proceed(replace(state, has_event=False))
        return replace(after, effects=(record, GiveUpEvent(outcome)))
    if policy.error_behavior is ErrorBehavior.DISABLE:
        return _disable(state, (record,))
    failures = state.failures + 1
    if policy.error_behavior is ErrorBehavior.LOG:
        return _pass_over(state, (record,))
    if failures >= policy.max_attempts:
        text_of_end = f"event given up after {_times(failures, 'attempt')}"
        given_up = GivenUp(outcome, text, state.runs + 1)
        return _pass_over(state, (record, RecordError(text_of_end)), given_up)
    pausing = replace(state, phase=Phase.PAUSING, failures=failures)
    return Step(pausing, (record,), Pause(failures + 1))


def _let_down(state: State, text: str) -> Step:
    """Try again whatever the policy: the engine failed, and may be well again soon."""
    faults = state.faults + 1
    pausing = replace(state, phase=Phase.PAUSING, faults=faults)
    return Step(pausing, (RecordError(text),), Pause(faults + 1))


def _died(state: State, outcome: Outcome, text: str, policy: Policy) -> Step:
    counted = replace(state, has_worker=False, deaths=state.deaths + 1, crashes=state.crashes + 1)
    effects = (RecordError(text), KillWorker())
    if policy.is_request:
        pausing = replace(counted, phase=Phase.PAUSING, has_event=False)
        return Step(pausing, (*effects, GiveUpEvent(outcome)), Pause(counted.crashes))
    if counted.deaths < policy.max_deaths:
        return Step(replace(counted, phase=Phase.PAUSING), effects, Pause(counted.crashes))
    record = RecordError(f"event given up: it ended the worker {_times(counted.deaths, 'time')}")
    if policy.error_behavior is ErrorBehavior.DISABLE:
        return _disable(counted, (*effects, record))
    given_up = GivenUp(outcome, text, counted.runs)
    return _pass_over(counted, (*effects, record), given_up)


def _died_with_others(state: State, text: str) -> Step:
    crashes = state.crashes + 1
    pausing = replace(
        state,
        phase=Phase.PAUSING,
        has_worker=False,
        shared_deaths=state.shared_deaths + 1,
        crashes=crashes,
    )
    why = f"{text}\nother events were in the same process; each is run alone now"
    return Step(pausing, (RecordError(why), KillWorker()), Pause(crashes))


def _times(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _pass_over(state: State, effects: tuple[Effect, ...], given_up: GivenUp | None = None) -> Step:
    return Step(replace(state, phase=Phase.COMMITTING), effects, Commit(None, given_up))


def _disable(state: State, effects: tuple[Effect, ...]) -> Step:
    disabling = replace(
        state, phase=Phase.PAUSING, has_worker=False, has_event=False, is_disabling=True
    )
    record = RecordError("trigger disabled because of the error above")
    return Step(disabling, (*effects, record, KillWorker()), Disable())
