"""CPU of a resting server with three workers, as a share of one core (target: below 2 %).

python -m tests.bench.bench_idle [seconds]
"""

from __future__ import annotations

import sys
import tempfile
import threading
from pathlib import Path

import psutil

from tests.serving import Server, eventually, serving

PLUGIN = "def process_writes(influxdb3_local, table_batches, args=None):\n    pass\n"


def cpu_s(server: Server) -> float:
    processes = [psutil.Process(server.pid), *server.workers()]
    return sum(sum(process.cpu_times()[:2]) for process in processes)


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 15.0
    with tempfile.TemporaryDirectory() as name, serving(Path(name)) as server:
        server.create_database("db")
        server.plugin("rest.py", PLUGIN)
        for number in range(3):
            server.trigger("db", f"t{number}", "table:t", "rest.py")
        server.write("db", "t v=1")
        eventually(lambda: all(server.logs("db", f"t{number}") for number in range(3)))
        before_s = cpu_s(server)
        threading.Event().wait(seconds)
        used_s = cpu_s(server) - before_s
        private_mb = [worker.memory_full_info().uss / 2**20 for worker in server.workers()]
        print(
            f"server, {len(private_mb)} workers at rest: {100 * used_s / seconds:.2f} % of a core"
        )
        print("private memory of the workers:", ", ".join(f"{mb:.1f} MB" for mb in private_mb))


if __name__ == "__main__":
    main()
