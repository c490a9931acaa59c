"""What the write-ahead log costs: commit, replay, and many small writers.

Commit: rows with the columns of the "cpu-only" data set of the time series benchmark suite,
against bare write + fdatasync of the very same bytes into a file of the same file system, and
against SQLite with synchronous=FULL: the same bytes as one value, and the same rows as rows, each
in one transaction, with a rollback journal and with a write-ahead log. All take turns, so that they
see the same disk. Run by hand:

    python -m tests.bench.bench_wal [--directory DIR] [--rounds N]
"""

from __future__ import annotations

import argparse
import gc
import os
import shutil
import sqlite3
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa

from engine.model.entry import Client, Entry, TableRows, WriteEntry
from engine.wal.flusher import Committer
from engine.wal.log import Log
from engine.wal.record import check_entry, encode

ROWS = 5_000
TAGS = "hostname region datacenter rack os arch team service version environment"
FIELDS = "user system idle nice iowait irq softirq steal guest guest_nice"
# Bytes of one such line in line protocol, to name the load in the usual unit.
LINE_BYTES = 366


def cpu_rows(count: int, seed: int = 7) -> pa.RecordBatch:
    """Rows as the parser would yield them: ten tags, ten integer fields kept as floats."""
    chance = np.random.default_rng(seed)
    arrays = []
    for number, tag in enumerate(TAGS.split()):
        values = [f"{tag}_{value}" for value in range(min(count, 100 if number == 0 else 10))]
        codes = chance.integers(0, len(values), count).astype(np.int32)
        arrays.append(pa.DictionaryArray.from_arrays(pa.array(codes), pa.array(values)))
    arrays += [pa.array(chance.integers(0, 100, count).astype(float)) for _ in FIELDS.split()]
    arrays.append(pa.array(np.arange(count) * 10**9, pa.timestamp("ns")))
    return pa.RecordBatch.from_arrays(arrays, names=[*TAGS.split(), *FIELDS.split(), "time"])


def entry_of(rows: pa.RecordBatch) -> Entry:
    return WriteEntry(Client(), 1, (), None, (TableRows(1, 2, rows),))


def microseconds(action: Callable[[], object], times: int) -> float:
    best = float("inf")
    for _ in range(5):
        start = time.perf_counter()
        for _ in range(times):
            action()
        best = min(best, (time.perf_counter() - start) / times)
    return best * 1e6


def summary(name: str, seconds: Sequence[float]) -> str:
    ordered = sorted(seconds)
    p99 = ordered[int(len(ordered) * 0.99)]
    return (
        f"  {name:<28} median {statistics.median(ordered) * 1e3:7.2f} ms"
        f"   p99 {p99 * 1e3:7.2f} ms   mean {statistics.fmean(ordered) * 1e3:7.2f} ms"
    )


def sqlite(path: Path, journal: str, columns: int) -> sqlite3.Connection:
    """Open a database that syncs each transaction fully."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute(f"PRAGMA journal_mode={journal}")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("CREATE TABLE bytes (content BLOB)")
    names = ", ".join(f"c{number}" for number in range(columns))
    connection.execute(f"CREATE TABLE points ({names})")
    return connection


def bench_sqlite(directory: Path, rounds: int, rows: int) -> None:
    """Compare `Log.append` with SQLite."""
    batch = cpu_rows(rows)
    entry = entry_of(batch)
    content = b"".join(bytes(buffer) for buffer in encode(2, [entry]))
    log = Log.open(directory / "log-sqlite")
    columns = [*batch.columns[:-1], batch.columns[-1].cast(pa.int64())]
    values = list(zip(*(column.to_pylist() for column in columns), strict=True))
    marks = ", ".join("?" * len(columns))

    def stored(connection: sqlite3.Connection, *, as_rows: bool) -> None:
        connection.execute("BEGIN IMMEDIATE")
        if as_rows:
            connection.executemany(f"INSERT INTO points VALUES ({marks})", values)  # noqa: S608
        else:
            connection.execute("INSERT INTO bytes VALUES (?)", (content,))
        connection.execute("COMMIT")

    actions: dict[str, Callable[[], object]] = {"log append": lambda: log.append([entry])}
    for journal in ("DELETE", "WAL"):
        connection = sqlite(directory / f"{journal}.db", journal, len(columns))
        for as_rows in (False, True):
            name = f"SQLite {journal} {'rows' if as_rows else 'bytes'}"
            actions[name] = partial(stored, connection, as_rows=as_rows)
    seconds: dict[str, list[float]] = {name: [] for name in actions}
    for _ in range(rounds):
        for name, action in actions.items():
            start = time.perf_counter()
            action()
            seconds[name].append(time.perf_counter() - start)
    log.close()
    ours = statistics.median(seconds["log append"])
    print(f"against SQLite FULL, {rows} rows, {len(content) / 1e6:.2f} MB, {rounds} rounds")
    for name, times in seconds.items():
        print(f"{summary(name, times)}   x {statistics.median(times) / ours:.2f}")


def bench_heads(directory: Path) -> None:
    """Read the heads of many small entries, as the lag of triggers is counted at the start."""
    entry = entry_of(cpu_rows(1))
    log = Log.open(directory / "heads")
    for _ in range(100):
        log.append([entry] * 2_000)
    gc.set_threshold(50_000, 20, 50)
    start = time.perf_counter()
    count = sum(len(head.entries) for head in log.heads(1))
    seconds = time.perf_counter() - start
    gc.set_threshold(700, 10, 10)
    log.close()
    print(f"heads of {count} entries: {count / seconds / 1e6:.2f} M entries/s")


def bench_commit(directory: Path, rounds: int, rows: int) -> None:
    """Compare `Log.append` with a bare write and sync of the same bytes."""
    entry = entry_of(cpu_rows(rows))
    content = b"".join(bytes(buffer) for buffer in encode(2, [entry]))
    log = Log.open(directory / f"log-{rows}")
    descriptor = os.open(directory / f"bare-{rows}", os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def bare() -> None:
        os.write(descriptor, content)
        os.fdatasync(descriptor)

    pair = (bare, lambda: log.append([entry]))
    seconds: tuple[list[float], list[float]] = ([], [])
    for number in range(rounds):
        # The order changes, so that neither always follows the other's sync.
        for which in (0, 1) if number % 2 else (1, 0):
            start = time.perf_counter()
            pair[which]()
            seconds[which].append(time.perf_counter() - start)
    os.close(descriptor)
    log.close()
    more = statistics.median(log - bare for bare, log in zip(*seconds, strict=True))
    medians = [statistics.median(times) for times in seconds]
    means = [statistics.fmean(times) for times in seconds]
    print(f"commit of {rows} rows, {len(content) / 1e6:.2f} MB, {rounds} rounds in turns")
    print(summary("bare write + fdatasync", seconds[0]))
    print(summary("log append", seconds[1]))
    print(
        f"  ratio of medians {medians[1] / medians[0]:.3f}, of means {means[1] / means[0]:.3f};"
        f" median of differences {more * 1e3:.2f} ms; {rows / means[1] / 1e3:.0f} k rows/s"
    )


def bench_codec() -> None:
    """Time the steps that need no disk."""
    for rows in (1, 100, ROWS):
        entry = entry_of(cpu_rows(rows))
        times = 500 if rows < ROWS else 50
        print(
            f"  {rows:5} rows: check {microseconds(lambda e=entry: check_entry(e), times):6.1f} us,"
            f" encode {microseconds(lambda e=entry: encode(1, [e]), times):6.1f} us"
        )


def bench_replay(directory: Path, records: int) -> None:
    """Open a log of many records and read all of it."""
    entry = entry_of(cpu_rows(ROWS))
    log = Log.open(directory / "replay")
    for _ in range(records):
        log.append([entry])
    log.close()
    start = time.perf_counter()
    log = Log.open(directory / "replay")
    opened_s = time.perf_counter() - start
    start = time.perf_counter()
    rows = sum(
        table.rows.num_rows
        for read in log.read(1)
        for item in read.entries
        if isinstance(item, WriteEntry)
        for table in item.tables
    )
    replayed_s = time.perf_counter() - start
    log.close()
    print(
        f"replay of {rows} rows: open (all checksums) {rows / opened_s / 1e6:.1f} M rows/s,"
        f" replay (checksums, validation) {rows / replayed_s / 1e6:.1f} M rows/s"
    )


def bench_group(directory: Path, writers: int, rows: int, seconds: float) -> None:
    """Let many threads write small entries, each waiting for its answer before the next."""
    log = Log.open(directory / f"group-{writers}-{rows}")
    published: list[int] = []
    committer = Committer(log, lambda first, entries: published.append(len(entries)), 1 << 28)
    committer.start()
    latencies: list[list[float]] = [[] for _ in range(writers)]
    end = time.perf_counter() + seconds

    def work(mine: list[float]) -> None:
        entry = entry_of(cpu_rows(rows))
        while (start := time.perf_counter()) < end:
            committer.submit(entry).result()
            mine.append(time.perf_counter() - start)

    threads = [threading.Thread(target=work, args=(mine,)) for mine in latencies]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    committer.stop()
    log.close()
    every = [latency for mine in latencies for latency in mine]
    print(
        f"group commit, {writers} writers x {rows} rows: {len(every) / seconds:.0f} writes/s,"
        f" {len(every) * rows / seconds / 1e3:.0f} k rows/s,"
        f" {len(every) / len(published):.1f} entries a record"
    )
    print(summary("answer", every))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--directory", type=Path, help="on the disk to be measured")
    parser.add_argument("--rounds", type=int, default=400)
    arguments = parser.parse_args()
    sys.setswitchinterval(0.0005)  # as the server does
    directory = Path(tempfile.mkdtemp(prefix="bench-wal-", dir=arguments.directory))
    try:
        print(f"python codec, {os.cpu_count()} processors, pyarrow {pa.__version__}")
        bench_codec()
        # 1.8 MB of Arrow, and the 5000 lines that are 1.8 MB of line protocol.
        bench_commit(directory, arguments.rounds, ROWS * LINE_BYTES // 130)
        bench_commit(directory, arguments.rounds, ROWS)
        bench_commit(directory, arguments.rounds, 100)
        bench_commit(directory, arguments.rounds, 1)
        bench_sqlite(directory, max(10, arguments.rounds // 10), ROWS * LINE_BYTES // 130)
        bench_replay(directory, 300)
        bench_heads(directory)
        for writers, rows in ((1, 1), (8, 100), (64, 1), (256, 1)):
            bench_group(directory, writers, rows, 3.0)
    finally:
        shutil.rmtree(directory)


if __name__ == "__main__":
    main()
