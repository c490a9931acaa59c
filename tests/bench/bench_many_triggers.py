"""Many triggers on one server: creation, CPU at rest, memory, one event for all, and shutdown.

python -m tests.bench.bench_many_triggers [triggers]
"""

from __future__ import annotations

import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil

from tests.serving import Server, eventually, serving

REST_S = 15.0
PLUGIN = """\
def process_writes(influxdb3_local, table_batches, args=None):
    influxdb3_local.write(LineBuilder("seen").tag("t", args["n"]).int64_field("v", 1))
"""


def cpu_s(server: Server) -> float:
    processes = [psutil.Process(server.pid), *server.workers()]
    return sum(sum(process.cpu_times()[:2]) for process in processes)


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    with tempfile.TemporaryDirectory() as name, serving(Path(name)) as server:
        server.create_database("db")
        server.plugin("one.py", PLUGIN)
        start_s = time.perf_counter()
        for number in range(count):
            answer = server.trigger(
                "db", f"t{number}", "table:t", "one.py", arguments={"n": str(number)}
            )
            if answer.status != 200:
                raise SystemExit(answer.text)
        created_s = time.perf_counter() - start_s
        eventually(lambda: len(server.workers()) == count, within_s=120)
        print(
            f"created {count} triggers in {created_s:.1f} s, all workers up after "
            f"{time.perf_counter() - start_s:.1f} s"
        )
        start_s = time.perf_counter()
        server.write("db", "t v=1")
        eventually(lambda: server.count("db", "seen") == count, within_s=120)
        print(f"one row reached all of them after {time.perf_counter() - start_s:.2f} s")
        threading.Event().wait(3)
        before_s = cpu_s(server)
        threading.Event().wait(REST_S)
        print(f"at rest: {100 * (cpu_s(server) - before_s) / REST_S:.2f} % of a core")
        private = sum(worker.memory_full_info().uss for worker in server.workers())
        resident = psutil.Process(server.pid).memory_info().rss
        print(
            f"memory: workers {private / count / 2**20:.1f} MB each, "
            f"server {resident / 2**20:.0f} MB"
        )
        start_s = time.perf_counter()
        status = server.stop(within_s=60)
        print(f"stopped with status {status} after {time.perf_counter() - start_s:.2f} s")


if __name__ == "__main__":
    main()
