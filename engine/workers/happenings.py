"""What can happen in a worker's life; `engine.workers.lifecycle` says what follows."""

from __future__ import annotations

from dataclasses import dataclass

from engine.model.event import Outcome

__all__ = [
    "CodeChanged",
    "CommitFailed",
    "CommitRefused",
    "Committed",
    "DisableFailed",
    "Disabled",
    "Displaced",
    "Happening",
    "PauseOver",
    "Ran",
    "ReadFailed",
    "StartFailed",
    "Started",
    "Unwanted",
    "Wanted",
    "WorkArrived",
    "WorkerLost",
]


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
class ReadFailed:
    """The next event could not be had, as when the disk does not give what was written."""

    reason: str


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
class Disabled:
    """The catalog says that the trigger is disabled."""


@dataclass(frozen=True, slots=True)
class DisableFailed:
    """The catalog could not be changed; until it is, the trigger is not disabled."""

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
    | ReadFailed
    | CodeChanged
    | Ran
    | Committed
    | CommitRefused
    | CommitFailed
    | Disabled
    | DisableFailed
    | PauseOver
)
