"""What the log says about triggers: the fold of its entries. Pure.

How far each trigger has come (each of several concurrent runs adds its own range or tick), the
events whose run wrote synchronously and has not finished, and the idempotence keys of those
writes. Folding a whole log, or only the entries from any checkpoint on, gives the same result; so
a segment that begins with a checkpoint makes the older ones superfluous.

An open event and its keys end when the trigger's progress covers it. Ticks that come with no run
are where a schedule begins anew: they replace what was known, where else progress only grows.
A `Progress` is not locked; its owner is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import assert_never

from engine.model.entry import (
    CheckpointEntry,
    Entry,
    IdempotenceKey,
    Position,
    Run,
    RunEntry,
    Ticks,
    WriteEntry,
)
from engine.model.entry import Progress as EntryProgress

__all__ = ["Progress"]


class Progress:
    """The state after the entries applied so far; `end` is the sequence after the last one."""

    def __init__(self) -> None:
        self.end = 1
        self._positions: dict[int, Position] = {}
        self._ticks: dict[int, Ticks] = {}
        # Keys in order of arrival, by trigger; a dict because it keeps order and finds quickly.
        self._keys: dict[int, dict[IdempotenceKey, None]] = {}

    def __repr__(self) -> str:
        """Describe the state in a sentence."""
        keys = sum(map(len, self._keys.values()))
        return (
            f"<progress before entry {self.end}: {len(self._positions)} positions, "
            f"{len(self._ticks)} ticks, {keys} keys>"
        )

    def apply(self, sequence: int, entry: Entry) -> None:
        """Fold one entry in; sequences only rise."""
        self.end = sequence + 1
        match entry:
            case WriteEntry(key=key):
                if key is not None and not self._is_done(key):
                    self._keep(key)
            case RunEntry(Run(trigger_id, ""), progress=Ticks() as ticks):
                self._begin_anew(trigger_id, ticks)
            case RunEntry(origin, progress=progress):
                self._finish(origin.trigger_id, progress)
            case CheckpointEntry():
                self._restore(entry)
            case _:
                assert_never(entry)

    def checkpoint(self) -> CheckpointEntry:
        """Return the state as an entry."""
        keys = tuple(key for of_trigger in self._keys.values() for key in of_trigger)
        return CheckpointEntry(dict(self._positions), dict(self._ticks), self.open_ranges(), keys)

    def open_ranges(self) -> dict[int, tuple[tuple[int, int], ...]]:
        """Return the events with live keys by trigger, sorted."""
        return {
            trigger_id: tuple(sorted({(key.event_from, key.event_to) for key in keys}))
            for trigger_id, keys in self._keys.items()
        }

    def has_key(self, key: IdempotenceKey) -> bool:
        """Whether this synchronous write of an open event is in the log."""
        return key in self._keys.get(key.trigger_id, {})

    def forget(self, trigger_id: int) -> None:
        """Drop what is known of a trigger that was deleted."""
        self._positions.pop(trigger_id, None)
        self._ticks.pop(trigger_id, None)
        self._keys.pop(trigger_id, None)

    def _keep(self, key: IdempotenceKey) -> None:
        self._keys.setdefault(key.trigger_id, {})[key] = None

    def _is_done(self, key: IdempotenceKey) -> bool:
        """Whether the event is done: one that comes late would stay open for ever."""
        position = self._positions.get(key.trigger_id)
        ticks = self._ticks.get(key.trigger_id)
        return (position is not None and position.covers(key.event_from, key.event_to)) or (
            ticks is not None and ticks.covers(key.event_from)
        )

    def _finish(self, trigger_id: int, progress: EntryProgress | None) -> None:
        match progress:
            case Position():
                position = self._positions.get(trigger_id, Position(0)).joined(progress)
                self._positions[trigger_id] = position
                self._close(trigger_id, lambda key: position.covers(key.event_from, key.event_to))
            case Ticks():
                ticks = self._ticks.get(trigger_id, progress).joined(progress)
                self._ticks[trigger_id] = ticks
                self._close(trigger_id, lambda key: ticks.covers(key.event_from))
            case None:
                pass  # a request, or an event that was given up before: neither has keys
            case _:
                assert_never(progress)

    def _begin_anew(self, trigger_id: int, ticks: Ticks) -> None:
        """Take the engine's own word about a schedule, which may go back as the clock does."""
        self._ticks[trigger_id] = ticks
        self._close(trigger_id, lambda key: ticks.covers(key.event_from))

    def _close(self, trigger_id: int, is_done: Callable[[IdempotenceKey], bool]) -> None:
        if trigger_id in self._keys:
            live = {key: None for key in self._keys.pop(trigger_id) if not is_done(key)}
            if live:
                self._keys[trigger_id] = live

    def _restore(self, checkpoint: CheckpointEntry) -> None:
        self._positions = dict(checkpoint.positions)
        self._ticks = dict(checkpoint.ticks)
        self._keys = {}
        for key in checkpoint.keys:
            self._keep(key)
