"""Dry runs: what is asked of one, and what it comes to.

Pure; may be called from any thread.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from engine.model.event import PluginResponse, RequestEvent

__all__ = [
    "SHARED_CACHE_NAME",
    "DryRun",
    "DryRunReport",
    "Occasion",
    "RequestOccasion",
    "ScheduleOccasion",
    "WriteOccasion",
]

SHARED_CACHE_NAME = "_shared_test"


@dataclass(frozen=True, slots=True)
class WriteOccasion:
    """Rows as a trigger would get them; line protocol with timestamps in nanoseconds."""

    lines: str


@dataclass(frozen=True, slots=True)
class ScheduleOccasion:
    """The next tick of a cron expression."""

    expression: str


@dataclass(frozen=True, slots=True)
class RequestOccasion:
    """A request."""

    event: RequestEvent


Occasion = WriteOccasion | ScheduleOccasion | RequestOccasion


@dataclass(frozen=True, slots=True)
class DryRun:
    """One dry run.

    Args:
        plugin: as a trigger would name it.
        database: the one that the plugin's trigger would belong to.
        arguments: what the plugin is called with; None as for a trigger without any.
        cache_name: of the test caches.
        occasion: what fires it.
    """

    plugin: str
    database: str
    arguments: Mapping[str, str] | None
    cache_name: str
    occasion: Occasion


@dataclass(frozen=True, slots=True)
class DryRunReport:
    """What a dry run came to.

    Args:
        log_lines: `LEVEL: text`, oldest first.
        database_writes: lines by database, those written at once before those buffered.
        errors: why the run failed, or what the server would not have taken.
        trigger_time_ns: the tick, for a schedule that has one.
        response: the answer to a request, if there is one; its body is in one piece.
    """

    log_lines: tuple[str, ...] = ()
    database_writes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    errors: tuple[str, ...] = ()
    trigger_time_ns: int | None = None
    response: PluginResponse | None = None
