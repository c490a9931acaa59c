"""Events as the messages that carry them to a worker, encoded once however many triggers run."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import assert_never

from engine.model.event import ScheduledEvent, TableBatch, WalEvent
from engine.workers.encode import encode_table
from engine.workers.inbox import PendingRequest, Work
from worker.wire.messages import Block, RequestRun, ScheduledRun, WalRun

__all__ = ["EventEncoder"]

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
