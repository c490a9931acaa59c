"""What a plugin that sleeps 5 s per event costs the writes, the other triggers and the memory.

    python -m tests.bench.bench_slow_plugin [rows]

The same load twice, on a fresh server each: with a quick trigger only, and with a sleeping one
beside it. Prints writes, the quick trigger's delay behind the writer, and the server's memory.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.serving import Server, eventually, serving

LINES = 500
QUICK = """\
def process_writes(influxdb3_local, table_batches, args=None):
    for batch in table_batches:
        line = LineBuilder("counted").int64_field("n", len(batch["rows"]))
        influxdb3_local.write(line)
"""
SLEEPS = """\
import time

def process_writes(influxdb3_local, table_batches, args=None):
    time.sleep(5)
"""


@dataclass
class Figures:
    rows_per_s: float
    write_ms: float
    delay_s: float
    memory_mb: float


def body(start: int) -> str:
    return "\n".join(
        f"t,host=h{n % 50} a={n}.5,b={n}i,c=true {start + n + 1}" for n in range(LINES)
    )


def counted(server: Server) -> int:
    if not server.count("db", "counted"):
        return 0
    return int(server.sql("db", "SELECT sum(n) AS n FROM counted")[0]["n"])


def load(rows: int, *, with_sleeper: bool) -> Figures:
    with tempfile.TemporaryDirectory() as name, serving(Path(name)) as server:
        server.create_database("db")
        server.plugin("quick.py", QUICK)
        server.plugin("sleeps.py", SLEEPS)
        server.trigger("db", "quick", "table:t", "quick.py")
        if with_sleeper:
            server.trigger("db", "sleeps", "table:t", "sleeps.py")
        eventually(lambda: len(server.workers()) == 1 + with_sleeper)
        taken = []
        start_s = time.perf_counter()
        for start in range(0, rows, LINES):
            before_s = time.perf_counter()
            if server.write("db", body(start), precision="ns").status != 204:
                raise SystemExit("a write was refused")
            taken.append((time.perf_counter() - before_s) * 1000)
        written_s = time.perf_counter()
        eventually(lambda: counted(server) == rows, within_s=60)
        delay_s = time.perf_counter() - written_s
        memory_mb = psutil.Process(server.pid).memory_info().rss / 2**20
        return Figures(rows / (written_s - start_s), statistics.median(taken), delay_s, memory_mb)


def main() -> None:
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 200_000
    alone = load(rows, with_sleeper=False)
    beside = load(rows, with_sleeper=True)
    print(f"{rows} rows             alone   with a sleeper   ratio")
    for label, a, b in (
        ("rows/s", alone.rows_per_s, beside.rows_per_s),
        ("write p50 ms", alone.write_ms, beside.write_ms),
        ("delay of quick s", alone.delay_s, beside.delay_s),
        ("server memory MB", alone.memory_mb, beside.memory_mb),
    ):
        print(f"{label:<18}{a:10.1f}{b:16.1f}{b / a:10.2f}")


if __name__ == "__main__":
    main()
