"""The words of a worker's life: its state, what can happen, and what to do about it.

`engine.workers.lifecycle` is the table that connects them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from engine.model.event import Outcome, Succeeded
from engine.model.trigger import ErrorBehavior

__all__ = [
    "Action",
    "AwaitWork",
    "CodeChanged",
    "Commit",
    "CommitFailed",
    "CommitRefused",
    "Committed",
    "Displaced",
    "Effect",
    "End",
    "GiveUpEvent",
    "GivenUp",
    "Happening",
    "KillWorker",
    "Pause",
    "PauseOver",
    "PersistDisabled",
    "Phase",
    "Policy",
    "Ran",
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
        deaths: of the worker over the event in hand.
        crashes: ends of the worker in a row without a finished event.
    """

    phase: Phase = Phase.STARTING
    has_worker: bool = False
    has_event: bool = False
    failures: int = 0
    deaths: int = 0
    crashes: int = 0


# --- what can happen


@dataclass(frozen=True, slots=True)
class Wanted:
    """The trigger is enabled."""


@dataclass(frozen=True, slots=True)
class Unwanted:
    """The trigger is disabled or deleted, or the server stops."""


@dataclass(frozen=True, slots=True)
class Started:
    """The worker has said that it is ready."""


@dataclass(frozen=True, slots=True)
class StartFailed:
    """The worker did not come up."""

    reason: str


@dataclass(frozen=True, slots=True)
class WorkerLost:
    """The worker ended between two events, after `uptime_was_stable` or not."""

    reason: str
    uptime_was_stable: bool


@dataclass(frozen=True, slots=True)
class Displaced:
    """The worker was stopped because of another lane; what was in hand is not to blame."""


@dataclass(frozen=True, slots=True)
class WorkArrived:
    """An event is in hand."""


@dataclass(frozen=True, slots=True)
class CodeChanged:
    """The plugin's folder or the packages changed: only a fresh worker can import them."""


@dataclass(frozen=True, slots=True)
class Ran:
    """A run has ended."""

    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Committed:
    """The run's rows and the trigger's progress are durable."""


@dataclass(frozen=True, slots=True)
class CommitRefused:
    """A line that the run wrote is not acceptable."""

    reason: str
    code: str


@dataclass(frozen=True, slots=True)
class CommitFailed:
    """The log did not take the run; the plugin is not to blame."""

    reason: str


@dataclass(frozen=True, slots=True)
class PauseOver:
    """The time to wait has passed."""


Happening = (
    Wanted
    | Unwanted
    | Started
    | StartFailed
    | WorkerLost
    | Displaced
    | WorkArrived
    | CodeChanged
    | Ran
    | Committed
    | CommitRefused
    | CommitFailed
    | PauseOver
)


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


@dataclass(frozen=True, slots=True)
class PersistDisabled:
    """Disable the trigger in the catalog."""


Effect = RecordError | KillWorker | GiveUpEvent | RefuseWaiting | PersistDisabled


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
    """Wait for an event; answers WorkArrived, CodeChanged, WorkerLost or Unwanted."""


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
class Pause:
    """Wait for the delay that belongs to this many attempts.

    Answers PauseOver, WorkerLost, Displaced or Unwanted.
    """

    attempt: int


@dataclass(frozen=True, slots=True)
class End:
    """Leave the loop."""


Action = Spawn | AwaitWork | RunEvent | Commit | Pause | End


@dataclass(frozen=True, slots=True)
class Step:
    """The answer of `step`."""

    state: State
    effects: tuple[Effect, ...]
    action: Action
