"""Write acknowledgement over HTTP against a bare write and fdatasync of the same bytes.

    python -m tests.bench.bench_write [rounds]

One connection, one write at a time, interleaved on the same file system. Two sizes: a single line
and 5 000 lines (1.1 MB of line protocol). Prints medians, 99th percentiles and the ratio.
"""

from __future__ import annotations

import http.client
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from tests.serving import serving

TAGS = ",".join(f"tag{n}=value{n}" for n in range(4))
START_NS = 1_700_000_000_000_000_000


def body_of(lines: int, start: int) -> bytes:
    fields = ",".join(f"f{n}={n}.25" for n in range(8))
    rows = (
        f"cpu,host=h{n % 100},{TAGS} {fields} {START_NS + (start + n) * 1000}" for n in range(lines)
    )
    return "\n".join(rows).encode()


def timed_ms(call: Callable[[], None]) -> float:
    start = time.perf_counter_ns()
    call()
    return (time.perf_counter_ns() - start) / 1e6


def report(name: str, taken: list[float]) -> float:
    median = statistics.median(taken)
    print(
        f"  {name:<24} p50 {median:7.2f} ms   p99 {statistics.quantiles(taken, n=100)[98]:7.2f} ms"
    )
    return median


def measure(connection: http.client.HTTPConnection, file: int, lines: int, rounds: int) -> None:
    acknowledged, bare = [], []
    for number in range(rounds):
        body = body_of(lines, number * lines)

        def through_http(body: bytes = body) -> None:
            connection.request("POST", "/api/v3/write_lp?db=bench&precision=ns", body)
            answer = connection.getresponse()
            answer.read()
            if answer.status != 204:
                raise SystemExit(f"the server answered {answer.status}")

        def to_disk(body: bytes = body) -> None:
            os.write(file, body)
            os.fdatasync(file)

        acknowledged.append(timed_ms(through_http))
        bare.append(timed_ms(to_disk))
    print(f"{lines} lines, {len(body)} bytes, {rounds} rounds")
    slow, fast = report("acknowledged by HTTP", acknowledged), report("write + fdatasync", bare)
    print(f"  ratio of medians {slow / fast:.2f}; {lines / slow * 1000:,.0f} lines/s acknowledged")


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    with tempfile.TemporaryDirectory() as name, serving(Path(name)) as server:
        server.create_database("bench")
        address = urlsplit(server.url).netloc
        connection = http.client.HTTPConnection(address, timeout=60)
        file = os.open(Path(name) / "bare", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
        try:
            measure(connection, file, 1, rounds)
            measure(connection, file, 5000, max(rounds // 4, 10))
        finally:
            os.close(file)
            connection.close()


if __name__ == "__main__":
    main()
