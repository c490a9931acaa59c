"""What a trigger has to say: to the server log and to `system.processing_engine_logs`.

What comes from the plugin is not trusted: too many lines are dropped, long ones are cut, an unknown
level is INFO, and control characters but line feed and tab are made visible.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import assert_never

from engine.clock import Clock
from engine.ingest.internal import DeadLetter
from engine.logs import LogRing, printable
from engine.model.duration import format_duration
from engine.model.event import ScheduledEvent, WalEvent
from engine.model.trigger import Kind
from engine.workers.inbox import PendingRequest, Redriven, Work
from engine.workers.torrent import Torrent
from worker.wire import LIMITS

__all__ = ["TriggerLog"]

log = logging.getLogger(__name__)
_LEVELS = {"INFO": logging.INFO, "WARN": logging.WARNING, "ERROR": logging.ERROR}


class TriggerLog:
    """The log of one lane of a trigger; lines that come between two runs belong to the first.

    Lanes of one trigger share their torrent.
    """

    def __init__(
        self,
        ring: LogRing,
        clock: Clock,
        trigger_name: str,
        kind: Kind,
        torrent: Torrent | None = None,
    ) -> None:
        self._torrent = torrent or Torrent()
        self._ring = ring
        self._clock = clock
        self._trigger_name = trigger_name
        self._context = _context(kind)
        self._run_id = ""

    def plugin_line(self, level: str, text: str, time_ns: int) -> None:
        """Record a line of the plugin; its clock is not trusted further than the order it gives."""
        text = text[: LIMITS.text_characters]
        if self._torrent.admit(len(text)):
            self._tell_dropped()
            self._record(level, text, min(time_ns, self._clock.now_ns()))

    def engine_line(self, level: str, text: str) -> None:
        """Record a line of our own."""
        self._tell_dropped()
        self._record(level, text, self._clock.now_ns())

    def run_started(self, work: Work, run_id: str) -> None:
        """Record the line that Core writes before a run; lines from now on belong to it."""
        self._run_id = run_id
        self.engine_line("INFO", _announcement(work))

    def run_finished(self, elapsed_ns: int) -> None:
        """Record the line that Core writes after a run that succeeded."""
        self.engine_line("INFO", f"finished execution in {format_duration(elapsed_ns)}")

    def record_failure(self, text: str) -> None:
        """Record why a run, or the worker itself, failed."""
        self.engine_line("ERROR", f"error {self._context}: {text}")

    def letter_kept(self, letter: DeadLetter) -> None:
        """Record that an event was given up and kept, or what became of it when it was retried."""
        if letter.state == "open":
            self.engine_line("WARN", f"event kept as dead letter {letter.id}")
        else:
            self.engine_line("INFO", f"dead letter {letter.id} is {letter.state}")

    def _tell_dropped(self) -> None:
        dropped = self._torrent.take_dropped()
        if dropped:
            self._record("WARN", dropped, self._clock.now_ns())

    def _record(self, level: str, text: str, time_ns: int) -> None:
        level = level if level in _LEVELS else "INFO"
        text = printable(text)
        self._ring.add(time_ns, self._trigger_name, level, text, self._run_id)
        log.log(
            _LEVELS[level],
            "processing engine: %s",
            text,
            extra={"trigger": self._trigger_name},
        )


def _context(kind: Kind) -> str:
    match kind:
        case Kind.WAL:
            return "executing wal plugin"
        case Kind.SCHEDULE:
            return "executing schedule plugin"
        case Kind.REQUEST:
            return "running request plugin"
        case _:
            assert_never(kind)


def _announcement(work: Work) -> str:
    match work:
        case WalEvent():
            return "starting execution of wal plugin."
        case ScheduledEvent(time_ns):
            moment = datetime.fromtimestamp(time_ns // 1_000_000_000, UTC)
            return f"starting execution with scheduled time {moment:%Y-%m-%d %H:%M:%S} UTC"
        case Redriven(event, _):
            return _announcement(event)
        case PendingRequest():
            return "starting execution of request plugin."
        case _:
            assert_never(work)
