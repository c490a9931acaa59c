"""How many rows have come, by table and by database: what the lag of triggers is told from.

For each table, and for each database as a whole, there is a series of samples: before the entry
with this sequence so many entries with so many rows had come, and that entry was committed then.
A series has a bounded number of samples. When it is full, samples go where others are near in
proportion to their age: a figure is exact for the newest entries and within a few per cent for old
ones.

Only databases that are watched are counted; those without triggers cost nothing. Tables and
databases share one counter of catalog ids, so one mapping has both.

Threads: any; `_lock` guards all fields.
"""

from __future__ import annotations

import threading
from array import array
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from engine.model.entry import CheckpointEntry, Entry

__all__ = ["Arrivals", "Count"]

_MAX_SAMPLES = 1024  # 32 KiB a table
_KEPT_PER_AGE = 24  # samples lie apart by at most this part of the entries that came after them


@dataclass(frozen=True, slots=True)
class Count:
    """Log entries with rows, and their rows."""

    events: int
    rows: int

    def __sub__(self, other: Count) -> Count:
        """Return the difference, which is never negative."""
        return Count(max(0, self.events - other.events), max(0, self.rows - other.rows))

    def __add__(self, other: Count) -> Count:
        """Return the sum."""
        return Count(self.events + other.events, self.rows + other.rows)


_NONE = Count(0, 0)


class _Series:
    """The samples of one table or database; guarded by its owner."""

    __slots__ = ("_events", "_rows", "_sequences", "_times", "end", "events", "rows")

    def __init__(self) -> None:
        self._sequences = array("q")
        self._events = array("q")
        self._rows = array("q")
        self._times = array("q")
        self.events = 0
        self.rows = 0
        self.end = 0

    def add(self, sequence: int, rows: int, time_ns: int) -> None:
        """Count rows of an entry; several blocks of one entry are one event."""
        if sequence >= self.end:
            self._sequences.append(sequence)
            self._events.append(self.events)
            self._rows.append(self.rows)
            self._times.append(time_ns)
            self.events += 1
            self.end = sequence + 1
            if len(self._sequences) > _MAX_SAMPLES:
                self._thin()
        self.rows += rows

    def before(self, sequence: int) -> Count:
        """Return what entries below a sequence had; an estimate between distant samples."""
        after = bisect_left(self._sequences, sequence)
        high = self._at(after)
        if after == 0:
            return high[1]
        low = self._at(after - 1)
        if sequence > low[0] and high[1].events - low[1].events == 1:
            return high[1]
        span = max(1, high[0] - low[0])
        share = min(1.0, (sequence - low[0]) / span)
        between = high[1] - low[1]
        return low[1] + Count(round(between.events * share), round(between.rows * share))

    def time_of_first(self, sequence: int) -> int | None:
        """Return when the first entry at or after a sequence was committed; None if none was."""
        if sequence >= self.end:
            return None
        events = self.before(sequence).events
        return self._times[max(0, bisect_right(self._events, events) - 1)]

    def place_of_newest(self, sequence: int, max_rows: int) -> int | None:
        """Return the lowest known sequence from which on no more than so many rows have come.

        Returns:
            None when that is no later than the given sequence, or when not one entry fits.
        """
        wanted = bisect_left(self._rows, max(0, self.rows - max_rows))
        if wanted == len(self._rows) or self._sequences[wanted] <= sequence:
            return None
        return self._sequences[wanted]

    def _at(self, place: int) -> tuple[int, Count]:
        if place == len(self._sequences):
            return self.end, Count(self.events, self.rows)
        return self._sequences[place], Count(self._events[place], self._rows[place])

    def _thin(self) -> None:
        kept = [len(self._sequences) - 1]
        for place in range(kept[0] - 1, 0, -1):
            newer = self._events[kept[-1]]
            is_near = (newer - self._events[place - 1]) * _KEPT_PER_AGE <= self.events - newer
            if not is_near:
                kept.append(place)
        kept = [0, *reversed(kept)]
        self._sequences = array("q", [self._sequences[place] for place in kept])
        self._events = array("q", [self._events[place] for place in kept])
        self._rows = array("q", [self._rows[place] for place in kept])
        self._times = array("q", [self._times[place] for place in kept])


class Arrivals:
    """Counts of what was written; see the module."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._watched: frozenset[int] = frozenset()
        self._series: defaultdict[int, _Series] = defaultdict(_Series)

    def watch(self, database_id: int) -> None:
        """Count what is written to a database from now on."""
        with self._lock:
            self._watched |= {database_id}

    def note(self, first_sequence: int, entries: Sequence[Entry], time_ns: int) -> None:
        """Count entries that are durable.

        Args:
            first_sequence: of the first entry.
            entries: in the order of the log.
            time_ns: when they were committed, UTC nanoseconds.
        """
        if not self._watched:
            return
        with self._lock:
            for sequence, entry in enumerate(entries, first_sequence):
                if not isinstance(entry, CheckpointEntry):
                    for part in entry.tables:
                        if part.database_id in self._watched:
                            rows = part.rows.num_rows
                            self._series[part.table_id].add(sequence, rows, time_ns)
                            self._series[part.database_id].add(sequence, rows, time_ns)

    def note_counts(
        self, sequence: int, tables: Iterable[tuple[int, int, int]], time_ns: int
    ) -> None:
        """Count one entry of which only the numbers are known: database, table and rows of each."""
        with self._lock:
            for database_id, table_id, rows in tables:
                if database_id in self._watched:
                    self._series[table_id].add(sequence, rows, time_ns)
                    self._series[database_id].add(sequence, rows, time_ns)

    def between(self, key: int, start: int, end: int) -> Count:
        """Return what the entries of [start, end) wrote to a table or database."""
        with self._lock:
            series = self._series.get(key)
            return _NONE if series is None else series.before(end) - series.before(start)

    def since(self, key: int, start: int) -> Count:
        """Return what the entries from a sequence on wrote to a table or database."""
        with self._lock:
            series = self._series.get(key)
            if series is None:
                return _NONE
            return Count(series.events, series.rows) - series.before(start)

    def time_of_first(self, key: int, start: int) -> int | None:
        """Return when the first entry from a sequence on that wrote to it was committed."""
        with self._lock:
            series = self._series.get(key)
            return None if series is None else series.time_of_first(start)

    def place_of_newest(self, key: int, start: int, max_rows: int) -> int | None:
        """Return a later sequence from which on no more than so many rows have come, if any."""
        with self._lock:
            series = self._series.get(key)
            return None if series is None else series.place_of_newest(start, max_rows)
