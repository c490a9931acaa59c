"""Room for the log: which segments may go.

A segment may go when all its rows are in files and every enabled WAL trigger is past it. A trigger
moves on in memory also where the log has nothing for it; what is to be dropped must be behind it
after a crash as well, so its position is committed before.

When the log is larger than its limit, its oldest segments go although triggers have not read them,
as long as their rows are in files: rows are never lost, but the events of those triggers are. Who
loses what is told before it happens.

Threads: `drop` from any; `_turn` lets one go at a time.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from itertools import pairwise

from engine.catalog.state import Catalog
from engine.catalog.store import CatalogStore
from engine.errors import EngineError
from engine.faultpoint import reach
from engine.model.entry import Entry, Position, Run, RunEntry
from engine.model.trigger import AllTablesSpec, TableSpec
from engine.upkeep.quiet import Quiet
from engine.wal.log import Log

__all__ = ["Forced", "LogRoom"]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Forced:
    """Entries [start, end) that a trigger has not read and will not find any more."""

    trigger_id: int
    start: int
    end: int


class LogRoom:
    """See the module for the plan and the threads.

    Args:
        log: whose segments go.
        catalog: says what is in files and which triggers are enabled.
        quiet: held while segments go.
        max_lag_bytes: above it the log goes on without triggers that lag.
        lows: by enabled WAL trigger, the sequence below which it needs nothing more, as it knows
            in memory; a trigger that is left out is where the log says.
        commit: makes an entry durable.
        on_forced: told what triggers lose, before it is gone.
    """

    def __init__(  # noqa: PLR0913  what it joins, each named once in the composition
        self,
        log_: Log,
        catalog: CatalogStore,
        *,
        quiet: Quiet,
        max_lag_bytes: int,
        lows: Callable[[], Mapping[int, int]],
        commit: Callable[[Entry], Future[int]],
        on_forced: Callable[[Sequence[Forced]], None],
    ) -> None:
        self._log = log_
        self._catalog = catalog
        self._quiet = quiet
        self._max_lag_bytes = max_lag_bytes
        self._lows = lows
        self._commit = commit
        self._on_forced = on_forced
        self._turn = threading.Lock()

    def drop(self) -> tuple[Forced, ...]:
        """Drop the segments that may go; return what triggers have lost by it.

        Raises:
            EngineError: the disk refused, or a position could not be committed.
        """
        with self._turn:
            catalog = self._catalog.catalog
            persisted_to = catalog.persisted_to
            lows = self._all_lows(catalog)
            wanted = min([persisted_to, *lows.values()])
            limit = max(wanted, min(persisted_to, self._forced_limit()))
            segments = self._log.segments()
            if len(segments) < 2 or segments[1][0] > limit:  # noqa: PLR2004  the last one stays
                return ()
            limit = max(first for first, _, _ in segments if first <= limit)
            forced = tuple(
                Forced(trigger_id, low, limit)
                for trigger_id, low in sorted(lows.items())
                if low < limit
            )
            if forced:
                self._on_forced(forced)
            self._settle(catalog, lows, limit)
            with self._quiet.hold():
                dropped = self._log.drop_before(limit)
            reach("logroom.segments_dropped")
            log.info("log dropped", extra={"segments": dropped, "below": limit})
            return forced

    def try_drop(self) -> None:
        """Drop what may go; a failure is logged, and the next call tries again."""
        try:
            self.drop()
        except EngineError as error:
            log.warning("old segments of the log stay", extra={"error": str(error)})

    def _all_lows(self, catalog: Catalog) -> dict[int, int]:
        durable = self._log.checkpoint().positions
        known = self._lows()
        open_ranges = self._log.open_ranges()
        lows = {}
        for trigger in catalog.triggers.values():
            if trigger.disabled or not isinstance(trigger.spec, AllTablesSpec | TableSpec):
                continue
            low = durable.get(trigger.id, Position(0)).low
            low = max(trigger.start, low, known.get(trigger.id, 0))
            starts = [start for start, _ in open_ranges.get(trigger.id, ())]
            lows[trigger.id] = min([low, *starts])
        return lows

    def _forced_limit(self) -> int:
        """Return the first sequence that may stay when the log is to be within its limit."""
        segments = self._log.segments()
        size = sum(size for _, _, size in segments)
        for segment, after in pairwise(segments):
            if size <= self._max_lag_bytes:
                return segment[0]
            size -= segment[2]
            limit = after[0]
        return limit if len(segments) > 1 else 0

    def _settle(self, catalog: Catalog, lows: Mapping[int, int], limit: int) -> None:
        """Commit the positions of triggers that the log would still find below the limit.

        Not of those that lose something: what is in hand there is not done.
        """
        durable = self._log.checkpoint().positions
        waiting = []
        for trigger_id, low in lows.items():
            trigger = catalog.triggers[trigger_id]
            known = max(trigger.start, durable.get(trigger_id, Position(0)).low)
            if known < limit <= low:
                run = Run(trigger_id, "")
                entry = RunEntry(run, trigger.database_id, (), Position(low), ())
                waiting.append(self._commit(entry))
        for future in waiting:
            future.result()
        if waiting:
            reach("logroom.positions_committed")
