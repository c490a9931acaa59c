"""How fast line protocol becomes columns, as ratios that hold on any machine.

Run: .venv/bin/python tests/bench/bench_lineprotocol.py
"""

import random
import time
from collections.abc import Callable

from engine.lineprotocol import Precision, parse
from engine.lineprotocol.parser import LineReader

LINES = 5000
REPEATS = 7


def monitoring_body(hosts: int) -> str:
    """Return lines of ten tags and ten fields, hosts in turn, about 400 bytes each."""
    chance = random.Random(1)
    lines = []
    for number in range(LINES):
        host = number % hosts
        tags = ",".join(f"label_number_{tag}=value_{host * 31 % (tag + 7)}" for tag in range(9))
        fields = ",".join(
            f"usage_{field}={chance.randrange(100)}i"
            if field % 2
            else f"usage_{field}={chance.random() * 100:.4f}"
            for field in range(10)
        )
        lines.append(
            f"cpu,hostname=host_{host},{tags} {fields} {1_767_225_600_000_000_000 + number}"
        )
    return "\n".join(lines)


def mixed_body() -> str:
    """Return lines of twelve tables with absent fields, strings and escapes."""
    chance = random.Random(2)
    values = ["1.5", "7i", "8u", "t", '"a b"', '"say \\"x\\""']
    lines = []
    for number in range(LINES):
        table = chance.randrange(12)
        fields = [f"f{i}={values[(table + i) % 6]}" for i in range(6) if chance.random() < 0.85]
        escape = "\\ " if table % 4 == 0 else ""
        tag = f"v{chance.randrange(50)}"
        lines.append(f"m{escape}{table},t={tag} {','.join(fields) or 'f=1'} {number}")
    return "\n".join(lines)


def naive(body: str) -> list[dict[str, str]]:
    """Cut every line at every separator: no types, no escapes, no checks, no columns."""
    points = []
    for line in body.split("\n"):
        series, _, rest = line.partition(" ")
        fields, _, stamp = rest.rpartition(" ")
        point = {"series": series, "stamp": stamp}
        for pair in series.split(",")[1:] + fields.split(","):
            key, _, value = pair.partition("=")
            point[key] = value
        points.append(point)
    return points


def seconds(work: Callable[[], object]) -> float:
    """Return the best time of several runs."""
    best = float("inf")
    for _ in range(REPEATS):
        start = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - start)
    return best


def report(name: str, body: str) -> None:
    """Print the figures of one body."""
    raw = body.encode()
    scan = seconds(lambda: raw.count(b"\n"))
    plain = seconds(lambda: naive(body))
    grammar = seconds(lambda: LineReader(body, Precision.NANOSECOND, 0, None).read())
    taken = seconds(lambda: parse(body, Precision.NANOSECOND, 0))
    print(
        f"{name:28} {LINES / taken / 1000:6.0f} klines/s {len(raw) / taken / 1e6:6.0f} MB/s"
        f"  newline scan / parse {scan / taken:.4f}"
        f"  naive cut / parse {plain / taken:.2f}"
        f"  grammar alone / parse {grammar / taken:.2f}"
    )


if __name__ == "__main__":
    for hosts in (100, 1000, LINES):
        report(f"10 tags, 10 fields, {hosts} hosts", monitoring_body(hosts))
    report("mixed", mixed_body())
