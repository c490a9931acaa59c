"""The words of a worker's life: its state, what can happen, and what to do about it.

`engine.workers.lifecycle` is the table that connects them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from engine.model.event import Outcome, Succeeded
from engine.model.trigger import ErrorBehavior
from engine.workers.happenings import (
    CodeChanged,
    CommitFailed,
    CommitRefused,
    Committed,
    Disabled,
    DisableFailed,
    Displaced,
    Happening,
    PauseOver,
    Ran,
    ReadFailed,
    Started,
    StartFailed,
    Unwanted,
    Wanted,
    WorkArrived,
    WorkerLost,
)

__all__ = [
    "Action",
    "AwaitWork",
    "CodeChanged",
    "Commit",
    "CommitFailed",
    "CommitRefused",
    "Committed",
    "Disable",
    "DisableFailed",
    "Disabled",
    "Displaced",
    "Effect",
    "End",
    "GiveUpEvent",
    "GivenUp",
    "Happening",
    "KillWorker",
    "Pause",
    "PauseOver",
    "Phase",
    "Policy",
    "Ran",
    "ReadFailed",
    "RecordError",
    "RefuseWaiting",
    "RunEvent",
    "Spawn",
    "StartFailed",
    "Started",
    "State",
    "Step",
    "Unwanted",
    "Wanted",
    "WorkArrived",
    "WorkerLost",
]


class Phase(Enum):
    """What the supervisor is doing."""

    STARTING = "starting"
    READY = "ready"
    RUNNING = "running"
    COMMITTING = "committing"
    PAUSING = "pausing"
    BROKEN = "broken"  # no worker can be started; a pause as well
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Policy:
    """What the trigger's settings say.

    Args:
        error_behavior: what to do with an event whose run failed.
        is_request: the event is somebody waiting; it is answered, never repeated.
        max_deaths: of the worker over one event.
        max_attempts: of one event under `retry`.
    """

    error_behavior: ErrorBehavior
    is_request: bool
    max_deaths: int
    max_attempts: int


@dataclass(frozen=True, slots=True)
class State:
    """Where the trigger stands.

    Args:
        phase: what is going on.
        has_worker: a process is up and has said hello.
        has_event: an event is in hand.
        failures: failed runs of the event in hand.
        deaths: of the worker over the event in hand, when no other was in the process.
        shared_deaths: when there were others, so that it need not be to blame.
        faults: runs of the event in hand that the engine let down.
        crashes: ends of the worker in a row without a finished event.
        is_disabling: the trigger runs nothing more, and the catalog is yet to say so.
    """

    phase: Phase = Phase.STARTING
    has_worker: bool = False
    has_event: bool = False
    failures: int = 0
    deaths: int = 0
    shared_deaths: int = 0
    faults: int = 0
    crashes: int = 0
    is_disabling: bool = False

    @property
    def runs(self) -> int:
        """Runs of the event in hand that have ended without a commit."""
        return self.failures + self.deaths + self.shared_deaths + self.faults


# --- what to do at once


@dataclass(frozen=True, slots=True)
class RecordError:
    """Write to the log table and the server log."""

    text: str


@dataclass(frozen=True, slots=True)
class KillWorker:
    """End the worker's process group."""


@dataclass(frozen=True, slots=True)
class GiveUpEvent:
    """Tell whoever waits for the event that it has failed."""

    outcome: Outcome


@dataclass(frozen=True, slots=True)
class RefuseWaiting:
    """Tell everybody who waits that there is no worker."""

    reason: str


Effect = RecordError | KillWorker | GiveUpEvent | RefuseWaiting


# --- what to do next


@dataclass(frozen=True, slots=True)
class GivenUp:
    """Why an event is run no more: the last failure, and how many runs there were."""

    outcome: Outcome
    text: str
    attempts: int


@dataclass(frozen=True, slots=True)
class Spawn:
    """Start a worker; answers Started, StartFailed or Unwanted."""


@dataclass(frozen=True, slots=True)
class AwaitWork:
    """Wait for an event; answers WorkArrived, ReadFailed, CodeChanged, WorkerLost or Unwanted."""


@dataclass(frozen=True, slots=True)
class RunEvent:
    """Run the event in hand; answers Ran, CodeChanged or Unwanted."""


@dataclass(frozen=True, slots=True)
class Commit:
    """Commit the event in hand; answers Committed, CommitRefused or CommitFailed.

    `result` is None for an event that is passed over: only the progress is committed. With
    `given_up` the event is kept as a dead letter.
    """

    result: Succeeded | None
    given_up: GivenUp | None = None


@dataclass(frozen=True, slots=True)
class Disable:
    """Disable the trigger in the catalog; answers Disabled or DisableFailed."""


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait for the delay that belongs to this many attempts.

    Answers PauseOver, WorkerLost, Displaced or Unwanted.
    """

    attempt: int


@dataclass(frozen=True, slots=True)
class End:
    """Leave the loop."""


Action = Spawn | AwaitWork | RunEvent | Commit | Disable | Pause | End


@dataclass(frozen=True, slots=True)
class Step:
    """The answer of `step`."""

    state: State
    effects: tuple[Effect, ...]
    action: Action
