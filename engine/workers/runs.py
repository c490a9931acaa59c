"""Events on their way in and out: as messages to a worker, and as errors to who waits.

Rows are encoded once however many triggers run on them.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import assert_never

from engine.errors import EngineError, PluginFailed, RunTimedOut, WorkerDied, WorkerOverLimit
from engine.model.event import (
    Crashed,
    Failed,
    Outcome,
    OverLimit,
    ScheduledEvent,
    TableBatch,
    TimedOut,
    WalEvent,
)
from engine.workers.encode import encode_table
from engine.workers.inbox import PendingRequest, Redriven, Work
from worker.wire.messages import Block, RequestRun, ScheduledRun, WalRun

__all__ = ["EventEncoder", "error_of", "event_range"]

_KEPT_BLOCKS = 16


class EventEncoder:
    """Shared by all triggers; `_lock` guards the few blocks that are kept for the next one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._blocks: OrderedDict[tuple[int, int, int], Block] = OrderedDict()

    def message(self, run_id: str, work: Work) -> WalRun | ScheduledRun | RequestRun:
        """Build the message that starts a run."""
        match work:
            case WalEvent():
                return WalRun(run_id, tuple(self._block(work, table) for table in work.tables))
            case ScheduledEvent(time_ns):
                return ScheduledRun(run_id, time_ns)
            case Redriven(event, _):
                return self.message(run_id, event)
            case PendingRequest(event, _):
                return RequestRun(run_id, event.query, event.headers, event.body)
            case _:
                assert_never(work)

    def _block(self, event: WalEvent, table: TableBatch) -> Block:
        key = (table.table_id, event.start, event.end)
        with self._lock:
            found = self._blocks.get(key)
        if found is not None:
            return found
        block = encode_table(table.table, table.rows)
        with self._lock:
            self._blocks[key] = block
            while len(self._blocks) > _KEPT_BLOCKS:
                self._blocks.popitem(last=False)
        return block


def event_range(work: Work) -> tuple[int, int] | None:
    """Return what names an event in an idempotence key; None for what is not repeated."""
    match work:
        case WalEvent():
            return work.start, work.end
        case ScheduledEvent():
            return work.time_ns, work.time_ns
        case PendingRequest() | Redriven():
            return None
        case _:
            assert_never(work)


def error_of(outcome: Outcome) -> EngineError:
    """Return what is told to somebody who waited for a run that did not succeed."""
    match outcome:
        case Failed(message, _):
            return PluginFailed(message)
        case TimedOut(limit_s):
            return RunTimedOut(f"the plugin did not answer within {limit_s:g} s")
        case OverLimit(text):
            return WorkerOverLimit(f"the plugin's worker process was {text}")
        case Crashed(reason, _):
            return WorkerDied(f"the plugin's worker process {reason}")
        case _:
            return PluginFailed("the plugin's worker process broke the protocol")
