"""A server over ten million rows on disk: start, memory, a point query, and all rows grouped.

The rows are ten columns of a hundred hosts in Parquet files of a million rows, as the persister
writes them, named by a real catalog. Queries go over HTTP to a real server; the same grouping is
done by DuckDB over the same files with as many threads as the server has.

Run from the root of the repository: `python -m tests.bench.bench_storage [million rows]`.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import duckdb
import numpy as np
import psutil
import pyarrow as pa

from engine.catalog.change import CreateDatabase, CreateTable
from engine.catalog.filing import add_files
from engine.catalog.objects import LocalObjects
from engine.catalog.store import CatalogStore
from engine.model.file import ParquetFile
from engine.model.schema import Column, ColumnType
from engine.storage.parquet import new_path, write_file
from engine.wal.log import Log
from tests.serving import Server

HOSTS = 100
FILE_ROWS = 1_000_000
STEP_NS = 10**9
FIELDS = [f"usage_{n}" for n in range(8)]
COLUMNS = (Column("host", ColumnType.TAG), *(Column(name, ColumnType.FLOAT) for name in FIELDS))
POINT = "SELECT * FROM cpu WHERE host = 'host_005' AND time > now() - INTERVAL '5 minutes'"
GROUPS = {
    "average by host": "SELECT host, avg(usage_1) FROM cpu GROUP BY host",
    "three maxima by host": (
        "SELECT host, max(usage_1), max(usage_2), max(usage_3) FROM cpu GROUP BY host"
    ),
    "average by hour": (
        "SELECT date_bin(INTERVAL '1 hour', time) AS t, avg(usage_1) FROM cpu GROUP BY 1"
    ),
}
THREADS = 2


def main() -> None:
    """Print a line per measurement."""
    files = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder))
        root = server.data / "node0"
        size_bytes = fill(root, files)
        print(f"{files}M rows x 10 columns in {files} files: {size_bytes / 2**20:.0f} MiB")
        start = time.perf_counter()
        server.start()
        try:
            print(f"start until ready        {time.perf_counter() - start:8.2f} s")
            report_memory("after the start", server)
            measure_server(server, root)
        finally:
            server.kill()


def measure_server(server: Server, root: Path) -> None:
    """Print what queries cost."""
    count = ask(server, "SELECT count(*) AS n FROM cpu")
    print(f"rows that are counted    {count}")
    first_ms = timed(lambda: ask(server, POINT), 1)[0]
    taken = timed(lambda: ask(server, POINT), 50)
    print(f"one host, last 5 minutes p50 {np.median(taken):6.1f} ms  max {max(taken):6.1f} ms")
    print(f"the first of them        {first_ms:8.1f} ms (checks the file)")
    report_memory("after point queries", server)
    paths = sorted(str(path) for path in (root / "parquet").rglob("*.parquet"))
    with duckdb.connect() as other:
        other.execute(f"SET threads = {THREADS}")
        other.execute(f"CREATE VIEW cpu AS SELECT * FROM read_parquet({paths})")  # noqa: S608
        for name, sql in GROUPS.items():
            theirs = sql.replace("date_bin", "time_bucket")
            compare(name, lambda sql=sql: ask(server, sql), lambda sql=theirs: run(other, sql))  # type: ignore[misc]
    report_memory("after grouping", server)


def fill(root: Path, files: int) -> int:
    """Write the files, their catalog and a log without entries; the newest row is of now."""
    root.mkdir(parents=True)
    Log.open(root / "wal").close()
    catalog = CatalogStore.open(LocalObjects(root))
    catalog.update(lambda _: [CreateDatabase(1, "db"), CreateTable(2, 1, "cpu", COLUMNS)])
    per_host = FILE_ROWS // HOSTS
    newest_ns = time.time_ns()
    written: list[ParquetFile] = []
    for number in range(files):
        first_ns = newest_ns - (files - number) * per_host * STEP_NS
        path = new_path(1, 2, first_ns, number + 1)
        written.append(write_file(rows(first_ns, number), ("host",), root, path, number + 1))
    catalog.update(add_files(2, written, 0))
    return sum(file.size_bytes for file in written)


def rows(first_ns: int, seed: int) -> pa.RecordBatch:
    """Make a file's rows: of all hosts in turn, one a second each."""
    places = np.arange(FILE_ROWS)
    names = pa.array([f"host_{n:03}" for n in range(HOSTS)])
    host = pa.DictionaryArray.from_arrays(pa.array(places % HOSTS, pa.int32()), names)
    chance = np.random.default_rng(seed)
    fields = [pa.array(np.round(chance.random(FILE_ROWS) * 100, 2)) for _ in FIELDS]
    times = pa.array(first_ns + places // HOSTS * STEP_NS).cast(pa.timestamp("ns"))
    return pa.RecordBatch.from_arrays([host, *fields, times], names=["host", *FIELDS, "time"])


def ask(server: Server, sql: str) -> object:
    """Run a query over HTTP."""
    answer = server.post_json("/api/v3/query_sql", {"db": "db", "q": sql})
    if answer.status != 200:
        raise RuntimeError(answer.text)
    return answer.json()


def run(other: duckdb.DuckDBPyConnection, sql: str) -> object:
    """Run a query in DuckDB."""
    return other.execute(sql).fetchall()


def compare(name: str, ours: Callable[[], object], theirs: Callable[[], object]) -> None:
    """Print the medians of both and their ratio, measured in turn."""
    mine, other = [], []
    for _ in range(7):
        mine += timed(ours, 1)
        other += timed(theirs, 1)
    a, b = float(np.median(mine[1:])), float(np.median(other[1:]))
    print(f"{name:24} {a:8.1f} ms  DuckDB {b:8.1f} ms  ratio {a / b:.2f}")


def timed(call: Callable[[], object], times: int) -> list[float]:
    """Return how long some calls take, milliseconds."""
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        call()
        taken.append((time.perf_counter() - start) * 1e3)
    return taken


def report_memory(when: str, server: Server) -> None:
    """Print the resident memory of the server."""
    resident = psutil.Process(server.pid).memory_info().rss
    print(f"resident {when:15} {resident / 2**20:8.0f} MiB on {os.cpu_count()} cores")


if __name__ == "__main__":
    main()
