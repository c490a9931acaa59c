"""How a WAL trigger reads its rows: which tables, how many at once, and what it does about lag.

Any thread may call; nothing is kept from one call to the next but for the services.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from engine.catalog.state import Catalog
from engine.config import WorkersConfig
from engine.ingest.backlog import Backlog, Found
from engine.model.lag import MERGE_FACTOR, Lag, OnLag
from engine.model.trigger import TableSpec, Trigger
from engine.storage.arrivals import Arrivals, Count
from engine.workers.wal_inbox import LogSlice, Skip, table_batches
from worker.wire import LIMITS

__all__ = ["TriggerReading"]

_MAX_MERGED_BYTES = LIMITS.message_bytes * 3 // 4  # an event is one message


class TriggerReading:
    """Reads for one trigger; see `engine.workers.wal_inbox.Reading`."""

    def __init__(
        self,
        trigger: Trigger,
        catalog: Callable[[], Catalog],
        config: WorkersConfig,
        *,
        backlog: Backlog,
        arrivals: Arrivals,
    ) -> None:
        self._trigger = trigger
        self._catalog = catalog
        self._config = config
        self._backlog = backlog
        self._arrivals = arrivals

    def next(self, position: int, until: int | None) -> LogSlice:
        """Return rows of the entries from a position on, as many as one event holds."""
        max_rows, max_bytes = self._config.max_event_rows, self._config.max_event_bytes
        if self._may_merge(position):
            max_rows *= MERGE_FACTOR
            max_bytes = max(max_bytes, min(max_bytes * MERGE_FACTOR, _MAX_MERGED_BYTES))
        found = self._backlog.read(
            position,
            self._trigger.database_id,
            self._table_ids(),
            max_rows,
            max_bytes,
            until,
        )
        return self._slice(found)

    def exactly(self, start: int, end: int) -> LogSlice:
        """Return all rows of the entries [start, end)."""
        database_id, table_ids = self._trigger.database_id, self._table_ids()
        return self._slice(self._backlog.read_exactly(start, end, database_id, table_ids))

    def skip(self, position: int) -> Skip | None:
        """Return what is to be passed over because more waits than one event may hold."""
        key = self._key()
        if self._trigger.settings.on_lag is not OnLag.NEWEST or key is None:
            return None
        place = self._arrivals.place_of_newest(key, position, self._config.max_event_rows)
        if place is None:
            return None
        rows = self._arrivals.between(key, position, place).rows
        return Skip(place, rows) if rows else None

    def rows_in(self, ranges: Sequence[tuple[int, int]]) -> int:
        """Count the rows of the entries in some ranges, as far as these are kept."""
        database_id, table_ids = self._trigger.database_id, self._table_ids()
        return sum(
            self._backlog.count(start, end, database_id, table_ids).rows for start, end in ranges
        )

    def lag(self, undone: Sequence[tuple[int, int]], position: int) -> Lag:
        """Tell what is in some ranges and from a position on."""
        key = self._key()
        if key is None:
            return Lag(0, 0, None)
        counts = [self._arrivals.between(key, start, end) for start, end in undone]
        total = sum(counts, self._arrivals.since(key, position))
        if total == Count(0, 0):
            return Lag(0, 0, None)
        first = min((start for start, _ in undone), default=position)
        return Lag(total.events, total.rows, self._arrivals.time_of_first(key, first))

    def _may_merge(self, position: int) -> bool:
        key = self._key()
        if self._trigger.settings.on_lag is not OnLag.MERGE or key is None:
            return False
        return self._arrivals.since(key, position).rows > self._config.max_event_rows

    def _key(self) -> int | None:
        """Return under which id rows of the trigger's tables are counted."""
        table_ids = self._table_ids()
        if table_ids is None:
            return self._trigger.database_id
        return next(iter(table_ids), None)

    def _table_ids(self) -> frozenset[int] | None:
        """Return the ids of the tables; None for all, none for one that does not exist."""
        if not isinstance(self._trigger.spec, TableSpec):
            return None
        database = self._catalog().database_by_id(self._trigger.database_id)
        table = database.tables.get(self._trigger.spec.table)
        return frozenset() if table is None else frozenset((table.id,))

    def _slice(self, found: Found) -> LogSlice:
        tables = table_batches(found.tables, self._name_of)
        return LogSlice(found.start, found.end, tables, found.causes)

    def _name_of(self, table_id: int) -> str:
        table = self._catalog().table_by_id(table_id)
        if table is None:
            raise AssertionError("what was read is of tables that the catalog knew")
        return table.name
