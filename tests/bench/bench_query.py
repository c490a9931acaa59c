"""Queries over a million rows in the hot buffer, and results as bytes.

Run from the root of the repository: `python tests/bench/bench_query.py [rows]`.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import numpy as np
import pyarrow as pa

from engine.model.entry import Client, TableRows, WriteEntry
from engine.model.schema import Column, ColumnType, TableSchema
from engine.query.executor import execute
from engine.query.rewrite import rewrite
from engine.query.rows import to_csv, to_json
from engine.query.snapshot import Limits, QuerySnapshot, TableSnapshot
from engine.storage.buffer import HotBuffer

TABLE, SMALL = 1, 2
FIELDS = [f"usage_{n}" for n in range(10)]
SCHEMA = TableSchema(
    (Column("host", ColumnType.TAG), *(Column(name, ColumnType.FLOAT) for name in FIELDS))
)
HOSTS = 100
STEP_NS = 10**9
BATCH_ROWS = 10_000
QUERIES = {
    "select 1": "SELECT 1",
    "1,000-row table, filter": "SELECT * FROM small WHERE host = 'host_5'",
    "one host, last 5 minutes": (
        "SELECT * FROM cpu WHERE host = 'host_5' AND time > now() - INTERVAL '5 minutes'"
    ),
    "count, last 5 minutes": ("SELECT count(*) FROM cpu WHERE time > now() - 'interval 5 minutes'"),
    "count": "SELECT count(*) FROM cpu",
    "average by host": "SELECT host, avg(usage_1) FROM cpu GROUP BY host",
    "average by hour": (
        "SELECT date_bin(INTERVAL '1 hour', time) AS t, avg(usage_1) FROM cpu GROUP BY 1"
    ),
    "last 10": "SELECT * FROM cpu ORDER BY time DESC LIMIT 10",
    "any 1,000": "SELECT * FROM cpu LIMIT 1000",
}


def main() -> None:
    """Print a line per measurement."""
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    buffer = filled(rows)
    start = time.perf_counter()
    pieces = buffer.snapshot(TABLE, SCHEMA).batches
    first_ms = (time.perf_counter() - start) * 1e3
    print(f"first view of {rows} rows in {len(pieces)} pieces: {first_ms:.1f} ms")
    for name, sql in QUERIES.items():
        measure(name, lambda sql=sql: run(buffer, sql).num_rows)  # type: ignore[misc]
    measure("view after 100 new rows", lambda: refreshed(buffer))
    result = run(buffer, "SELECT * FROM cpu LIMIT 10000")
    measure("10,000 rows to JSON", lambda: len(to_json(result)))
    measure("10,000 rows to CSV", lambda: len(to_csv(result)))


def filled(rows: int) -> HotBuffer:
    """Return a buffer whose last row is of now, with a second between the rows of a host."""
    buffer = HotBuffer()
    first_ns = time.time_ns() - rows // HOSTS * STEP_NS
    for start in range(0, rows, BATCH_ROWS):
        append(buffer, TABLE, batch(first_ns + start // HOSTS * STEP_NS, BATCH_ROWS))
    append(buffer, SMALL, batch(first_ns, 1000))
    return buffer


def batch(first_ns: int, rows: int) -> pa.RecordBatch:
    """Make rows of all hosts in turn."""
    places = np.arange(rows)
    hosts = pa.array([f"host_{n}" for n in range(HOSTS)])
    host = pa.DictionaryArray.from_arrays(pa.array(places % HOSTS, pa.int32()), hosts)
    fields = [pa.array(np.random.default_rng(n).random(rows)) for n in range(len(FIELDS))]
    time_ns = pa.array(first_ns + places // HOSTS * STEP_NS).cast(pa.timestamp("ns"))
    return pa.RecordBatch.from_arrays([host, *fields, time_ns], names=["host", *FIELDS, "time"])


def append(buffer: HotBuffer, table_id: int, rows: pa.RecordBatch) -> None:
    """Write one entry."""
    entry = WriteEntry(Client(), 1, (), None, (TableRows(1, table_id, rows),))
    buffer.append(buffer.end, [entry])


def refreshed(buffer: HotBuffer) -> int:
    """Write a few rows and look at the table."""
    append(buffer, TABLE, batch(time.time_ns(), 100))
    return len(buffer.snapshot(TABLE, SCHEMA).batches)


def run(buffer: HotBuffer, sql: str) -> pa.Table:
    """Do what the query service does, in this thread."""
    text, params = rewrite(sql, {})
    tables = {
        name: TableSnapshot(SCHEMA.arrow, buffer.snapshot(table_id, SCHEMA).batches)
        for name, table_id in (("cpu", TABLE), ("small", SMALL))
        if name in text
    }
    return execute(QuerySnapshot("db", tables), text, params, Limits())


def measure(name: str, call: Callable[[], int], times: int = 30) -> None:
    """Print the median and the slowest of some calls."""
    call()
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        found = call()
        taken.append((time.perf_counter() - start) * 1e3)
    print(f"{name:28} {found:8} p50 {np.median(taken):7.2f} ms  max {max(taken):7.2f} ms")


if __name__ == "__main__":
    main()
