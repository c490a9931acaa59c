"""Events that fire plugins, and how a run of one ended."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

import pyarrow as pa

__all__ = [
    "BodyParts",
    "BodyState",
    "BufferedLines",
    "Crashed",
    "Event",
    "Failed",
    "Outcome",
    "OverLimit",
    "PluginResponse",
    "ProtocolBroken",
    "RequestEvent",
    "ScheduledEvent",
    "Succeeded",
    "TableBatch",
    "TimedOut",
    "WalEvent",
]


@dataclass(frozen=True, slots=True)
class TableBatch:
    """Rows of one table in arrival order; columns as in `TableRows`."""

    table_id: int
    table: str
    rows: pa.RecordBatch


@dataclass(frozen=True, slots=True)
class WalEvent:
    """The rows of a trigger's tables in the log entries [start, end).

    `causes` is the shortest cause chain among the entries with such rows.
    """

    start: int
    end: int
    tables: tuple[TableBatch, ...]
    causes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ScheduledEvent:
    """A due tick: the planned time, UTC nanoseconds."""

    time_ns: int


@dataclass(frozen=True, slots=True)
class RequestEvent:
    """An HTTP request to a plugin; header names are lower-case, the last of repeated keys wins."""

    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes


Event = WalEvent | ScheduledEvent | RequestEvent


class BodyState(Enum):
    """How a body stands that comes in parts."""

    OPEN = "open"
    COMPLETE = "complete"
    BROKEN = "broken"


class BodyParts(Protocol):
    """A body that comes in parts; one reader, in any thread."""

    @property
    def length(self) -> int | None:
        """Bytes of the whole body; None when only its end will tell."""
        ...

    def watch(self, on_change: Callable[[], object]) -> None:
        """Have a function called, in any thread, whenever `take` may have more to give."""
        ...

    def take(self, *, with_last: bool) -> bytes | BodyState:
        """Return the next part, or how the body stands when there is none.

        Args:
            with_last: also the newest part, which otherwise waits for another to follow it or for
                the run's lines to be committed.
        """
        ...

    def abandon(self) -> None:
        """Take no more; a run that is still making the body is cancelled."""
        ...


@dataclass(frozen=True, slots=True)
class PluginResponse:
    """What a request plugin answered."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes | BodyParts


@dataclass(frozen=True, slots=True)
class BufferedLines:
    """Line protocol that a run buffered for one database (None: the trigger's own)."""

    database: str | None
    text: str


@dataclass(frozen=True, slots=True)
class Succeeded:
    """The entry point returned."""

    lines: tuple[BufferedLines, ...]
    response: PluginResponse | None


@dataclass(frozen=True, slots=True)
class Failed:
    """The plugin raised, or could not be loaded.

    Args:
        message: `<Type>: <text>` as the plugin API words it.
        traceback: the plugin's own frames, possibly empty.
        code: stable name of the failure.
        is_ours: whether the engine could not do what the run asked of it, as on a full disk, so
            that the plugin need not be to blame.
    """

    message: str
    traceback: str
    code: str = "plugin_failed"
    is_ours: bool = False


@dataclass(frozen=True, slots=True)
class Crashed:
    """The worker's process ended while it ran the event.

    Args:
        reason: in words, as `killed by SIGSEGV` or `exited with status 3`.
        stderr: the last lines that the process wrote.
        is_shared: whether other events were in the process, so that this one need not be to blame.
    """

    reason: str
    stderr: str
    is_shared: bool = False


@dataclass(frozen=True, slots=True)
class TimedOut:
    """The run passed its time limit and was killed."""

    limit_s: float


@dataclass(frozen=True, slots=True)
class OverLimit:
    """The worker used more than its trigger may and was killed, by the kernel or the engine.

    Args:
        text: the limit and what was used, as `killed: memory 512 MiB, peak 517 MiB`.
        is_shared: whether other events were in the process, so that this one need not be to blame.
    """

    text: str
    is_shared: bool = False


@dataclass(frozen=True, slots=True)
class ProtocolBroken:
    """The worker sent what the protocol does not allow and was killed."""

    reason: str


Outcome = Succeeded | Failed | Crashed | TimedOut | OverLimit | ProtocolBroken
