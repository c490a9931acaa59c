"""Where triggers left off, as the log says, and what waits for them since.

Any thread; called when the server starts, before anything is written.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass

from engine.errors import EngineError
from engine.ingest.backlog import LogFile, recount
from engine.model.entry import CheckpointEntry, Position, Ticks
from engine.model.trigger import Kind, Trigger, kind
from engine.storage.arrivals import Arrivals

__all__ = ["Bookmark", "bookmarks", "count_backlog"]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Bookmark:
    """Where a trigger left off.

    Args:
        position: of a WAL trigger.
        ticks: of a scheduled one.
        open_ranges: events whose run wrote synchronously and did not finish; a tick stands twice.
    """

    position: Position | None = None
    ticks: Ticks | None = None
    open_ranges: tuple[tuple[int, int], ...] = ()


def bookmarks(progress: CheckpointEntry) -> dict[int, Bookmark]:
    """Return where triggers left off, by id."""
    known = {*progress.positions, *progress.ticks, *progress.open_events}
    return {
        trigger_id: Bookmark(
            progress.positions.get(trigger_id),
            progress.ticks.get(trigger_id),
            progress.open_events.get(trigger_id, ()),
        )
        for trigger_id in known
    }


def count_backlog(
    arrivals: Arrivals, log_: LogFile, triggers: Iterable[Trigger], progress: CheckpointEntry
) -> None:
    """Count what waits in the log for the enabled WAL triggers, as far as it can be read."""
    waiting = [each for each in triggers if not each.disabled and kind(each.spec) is Kind.WAL]
    for trigger in waiting:
        arrivals.watch(trigger.database_id)
    if waiting:
        positions = progress.positions
        lows = [max(t.start, positions.get(t.id, Position(0)).low) for t in waiting]
        try:
            recount(arrivals, log_, min(lows))
        except EngineError as error:  # the trigger that has to read it will say so as well
            log.warning("the lag of triggers is not fully known", extra={"reason": str(error)})
