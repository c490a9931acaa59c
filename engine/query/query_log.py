"""The last queries of the server, for `system.queries`: in memory, lost at a restart.

A query is entered when it is submitted, marked when a thread takes it and when it is done. The
ring keeps the newest and forgets the oldest, finished or not.

Threads: any; `_lock` guards the ring. An entry is changed under the lock only.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from uuid import uuid4

import pyarrow as pa

from engine.catalog.state import Catalog, Database
from engine.clock import Clock

__all__ = ["QueryLog", "QueryRecord"]

_DURATION = pa.duration("ns")
_SCHEMA = pa.schema(
    [
        pa.field("id", pa.utf8(), nullable=False),
        pa.field("phase", pa.utf8(), nullable=False),
        pa.field("issue_time", pa.timestamp("ns"), nullable=False),
        pa.field("query_type", pa.utf8(), nullable=False),
        pa.field("query_text", pa.utf8(), nullable=False),
        pa.field("partitions", pa.int64()),
        pa.field("parquet_files", pa.int64()),
        pa.field("plan_duration", _DURATION),
        pa.field("permit_duration", _DURATION),
        pa.field("execute_duration", _DURATION),
        pa.field("end2end_duration", _DURATION),
        pa.field("compute_duration", _DURATION),
        pa.field("max_memory", pa.int64()),
        pa.field("success", pa.bool_(), nullable=False),
        pa.field("running", pa.bool_(), nullable=False),
        pa.field("cancelled", pa.bool_(), nullable=False),
        pa.field("trace_id", pa.utf8()),
    ]
)


@dataclass(slots=True)
class QueryRecord:
    """One query; written by `QueryLog` only."""

    id: str
    database_id: int
    text: str
    issued_ns: int
    phase: str = "received"
    taken_ns: int | None = None
    done_ns: int | None = None
    files: int | None = None


class QueryLog:
    """A ring of queries."""

    def __init__(self, clock: Clock, capacity: int = 1000) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._records: deque[QueryRecord] = deque(maxlen=capacity)

    def received(self, database_id: int, text: str) -> QueryRecord:
        """Enter a query that has been submitted."""
        record = QueryRecord(str(uuid4()), database_id, text, self._clock.now_ns())
        with self._lock:
            self._records.append(record)
        return record

    def taken(self, record: QueryRecord) -> None:
        """Mark a query that a thread has begun to work on."""
        now_ns = self._clock.now_ns()
        with self._lock:
            record.phase, record.taken_ns = "execution_permit", now_ns

    def read(self, record: QueryRecord, files: int) -> None:
        """Note how many Parquet files a query has read."""
        with self._lock:
            record.files = files

    def done(self, record: QueryRecord, phase: str) -> None:
        """Mark the end of a query: `success`, `fail` or `cancel`."""
        now_ns = self._clock.now_ns()
        with self._lock:
            record.phase, record.done_ns = phase, now_ns

    def table(self, _catalog: Catalog, database: Database) -> pa.Table:
        """Return the queries of one database, oldest first."""
        with self._lock:
            rows = [_row(r) for r in self._records if r.database_id == database.id]
        return pa.Table.from_pylist(rows, schema=_SCHEMA)


def _row(record: QueryRecord) -> dict[str, object]:
    taken_ns, done_ns = record.taken_ns, record.done_ns
    waited_until = done_ns if taken_ns is None else taken_ns
    return {
        "id": record.id,
        "phase": record.phase,
        "issue_time": record.issued_ns,
        "query_type": "sql",
        "query_text": record.text,
        "parquet_files": record.files,
        "permit_duration": None if waited_until is None else waited_until - record.issued_ns,
        "execute_duration": None if taken_ns is None or done_ns is None else done_ns - taken_ns,
        "end2end_duration": None if done_ns is None else done_ns - record.issued_ns,
        "success": record.phase == "success",
        "running": done_ns is None,
        "cancelled": record.phase == "cancel",
    }
