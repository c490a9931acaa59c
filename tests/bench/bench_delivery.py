"""What it costs to bring an event's rows to a plugin, against building them in-process.

    python tests/bench/bench_delivery.py [rows]

In-process is the least that any engine must do: columns to lists, then one list comprehension.
Both are measured in turns in one run; figures are medians. Targets: whole <= 2x, engine <= 0.1x.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

sys.path.insert(0, str(Path(__file__).parents[2]))

from engine.workers.encode import encode_table
from worker.rows import rows_of
from worker.wire import decode, encode
from worker.wire.messages import WalRun

ROUNDS = 15


def make_rows(count: int) -> pa.RecordBatch:
    """Make an event of 10 tags, 10 fields and the time."""
    chance = np.random.default_rng(1)
    columns: dict[str, pa.Array] = {}
    for i in range(10):
        values = pa.array([f"value-{i}-{j}" for j in range(100)])
        codes = pa.array(chance.integers(0, 100, count, dtype=np.int32))
        columns[f"tag{i}"] = pa.DictionaryArray.from_arrays(codes, values)
    for i in range(5):
        columns[f"float{i}"] = pa.array(chance.random(count))
        columns[f"int{i}"] = pa.array(chance.integers(0, 10**9, count))
    columns["time"] = pa.array(np.arange(count) + 10**18).cast(pa.timestamp("ns"))
    return pa.RecordBatch.from_pydict(columns)


def in_process_builder(names: list[str]) -> Callable[..., list[dict[str, Any]]]:
    """Generate the function that an embedded engine would use."""
    cells = ", ".join(f"{name!r}: c{i}" for i, name in enumerate(names))
    row = ", ".join(f"c{i}" for i in range(len(names)))
    namespace: dict[str, Any] = {}
    exec(f"def build(lists):\n    return [{{{cells}}} for {row} in zip(*lists)]", namespace)  # noqa: S102
    return namespace["build"]


def in_process(batch: pa.RecordBatch, build: Callable[..., list[dict[str, Any]]]) -> list[Any]:
    """Build the rows without any wire."""
    lists = []
    for array in batch.columns:
        if pa.types.is_dictionary(array.type):
            values = array.dictionary.to_pylist()
            lists.append([values[code] for code in array.indices.to_numpy().tolist()])
        else:
            plain = array.view(pa.int64()) if pa.types.is_timestamp(array.type) else array
            lists.append(plain.to_numpy().tolist())
    return build(lists)


def main() -> None:
    """Measure and print."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    batch = make_rows(count)
    build = in_process_builder(batch.schema.names)
    assert rows_of(encode_table("cpu", batch)) == in_process(batch, build)
    shares: dict[str, list[float]] = {
        "in-process": [],
        "engine: columns": [],
        "engine: message": [],
        "worker: message": [],
        "worker: rows": [],
        "whole": [],
    }
    for _ in range(ROUNDS):
        start = time.perf_counter()
        rows = in_process(batch, build)
        shares["in-process"].append(time.perf_counter() - start)
        del rows
        marks = [time.perf_counter()]
        block = encode_table("cpu", batch)
        marks.append(time.perf_counter())
        packed = encode(WalRun("run", (block,)))
        marks.append(time.perf_counter())
        message = decode(packed)
        marks.append(time.perf_counter())
        rows = rows_of(message.tables[0])  # type: ignore[union-attr]
        marks.append(time.perf_counter())
        del rows
        steps = [b - a for a, b in pairwise(marks)]
        for name, step in zip(list(shares)[1:5], steps, strict=True):
            shares[name].append(step)
        shares["whole"].append(sum(steps))
    report(count, batch.num_columns, len(packed), shares)


def report(rows: int, columns: int, message_bytes: int, shares: dict[str, list[float]]) -> None:
    """Print one line per share, as a ratio to the in-process figure."""
    base = statistics.median(shares["in-process"])
    print(f"{rows} rows x {columns} columns, {message_bytes} bytes, median of {ROUNDS}")
    for name, times in shares.items():
        middle = statistics.median(times)
        print(
            f"  {name:16} {middle * 1e3:8.2f} ms {middle / rows * 1e6:7.3f} us/row"
            f" {middle / base:6.2f}x   (least {min(times) * 1e3:.2f}, most {max(times) * 1e3:.2f})"
        )


if __name__ == "__main__":
    main()
