"""Triggers whose part of the log is gone or damaged: they say so, and nothing else suffers.

The launcher lays small segments over the settings, so that a few hundred rows fill the log.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.serving import Server, common_folder, eventually

SMALL = {
    "wal": {"segment_bytes": 30_000, "max_lag_bytes": 150_000},
    "storage": {"persist_bytes": 30_000, "persist_age_s": 1.0},
    "workers": {"max_event_rows": 50},
}
SUMS = """\
import os, time

def process_writes(influxdb3_local, table_batches, args=None):
    while not os.path.exists(args["go"]):
        time.sleep(0.01)
    rows = [row["n"] for batch in table_batches for row in batch["rows"]]
    line = LineBuilder("seen").tag("first", str(rows[0]))
    influxdb3_local.write(line.int64_field("rows", len(rows)).int64_field("total", sum(rows)))
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path)
    server.program = "tests.faults.launcher"
    server.environment = {"BULKHEAD_SETTINGS": json.dumps(SMALL)}
    try:
        yield server.start()
    finally:
        server.close()


def create(server: Server, go: Path) -> None:
    server.create_database("db")
    server.plugin("sums.py", SUMS)
    arguments, grants = {"go": str(go)}, [f"read={go.parent}"]
    answer = server.trigger("db", "slow", "table:t", "sums.py", arguments=arguments, grants=grants)
    assert answer.status == 200, answer.text


def write_rows(server: Server, start: int, end: int) -> None:
    for first in range(start, end, 20):
        lines = "\n".join(f't n={n}i,text="{n:0>200}" {n + 1}' for n in range(first, first + 20))
        assert server.write("db", lines, precision="ns").status == 204


def segments(server: Server) -> list[Path]:
    return sorted((server.data / "node0" / "wal").glob("*.wal"))


def seen(server: Server) -> tuple[int, int]:
    """Return how many rows the trigger has been given, and their sum."""
    if not server.count("db", "seen"):
        return 0, 0
    [row] = server.sql("db", "SELECT sum(rows) AS rows, sum(total) AS total FROM seen")
    return row["rows"], row["total"]


def stored(server: Server) -> int:
    """Return how many rows are in files."""
    files = "SELECT sum(row_count) AS rows FROM system.parquet_files WHERE table_name = 't'"
    return server.sql("db", files)[0].get("rows", 0)


def lag(server: Server) -> dict[str, Any]:
    columns = "lag_rows, gap_rows"
    [row] = server.sql("db", f"SELECT {columns} FROM system.processing_engine_triggers")  # noqa: S608  ours
    return row


def test_rows_that_the_log_had_no_room_for_are_counted_and_all_others_come_once(
    server: Server, tmp_path: Path
) -> None:
    go = common_folder(tmp_path) / "go"
    create(server, go)
    write_rows(server, 0, 4000)
    eventually(lambda: lag(server)["gap_rows"])
    eventually(lambda: len(segments(server)) < 10)

    go.touch()
    eventually(lambda: lag(server)["lag_rows"] == 0)
    eventually(lambda: seen(server)[0] + lag(server)["gap_rows"] == 4000)

    told = re.findall(r"(\d+) rows were lost", "".join(server.logs("db", "slow", "ERROR")))
    assert sum(map(int, told)) == lag(server)["gap_rows"]
    assert server.count("db", "t") == 4000
    before = seen(server)
    server.kill()
    server.start()
    write_rows(server, 4000, 4020)
    eventually(lambda: seen(server)[0] > before[0])
    assert seen(server) == (before[0] + 20, before[1] + sum(range(4000, 4020)))


def test_a_gap_made_while_the_trigger_has_no_plugin_is_told_and_what_is_left_comes_once(
    server: Server, tmp_path: Path
) -> None:
    go = common_folder(tmp_path) / "go"
    go.touch()
    create(server, go)
    server.kill()
    plugin = (server.plugins / "sums.py").rename(tmp_path / "sums.py")
    server.start()
    write_rows(server, 0, 4000)
    eventually(lambda: stored(server) == 4000)
    eventually(lambda: sum(path.stat().st_size for path in segments(server)) < 150_000)
    gap = eventually(lambda: lag(server)["gap_rows"])
    told = re.findall(r"(\d+) rows were lost", "".join(server.logs("db", "slow", "ERROR")))
    server.kill()
    plugin.rename(server.plugins / "sums.py")

    server.start()

    assert sum(map(int, told)) == gap
    eventually(lambda: seen(server)[0] == 4000 - gap)
    assert lag(server) == {"lag_rows": 0, "gap_rows": 0}


def test_a_damaged_record_stops_only_the_trigger_that_has_to_read_it(
    server: Server, tmp_path: Path
) -> None:
    go = common_folder(tmp_path) / "go"
    create(server, go)
    write_rows(server, 0, 400)
    eventually(lambda: server.count("db", "t") == 400)
    write_rows(server, 400, 420)
    eventually(lambda: len(list((server.data / "node0" / "parquet").rglob("*.parquet"))) > 1)
    server.kill()
    damaged = segments(server)[0]
    sound = damaged.read_bytes()
    damaged.write_bytes(sound[:9000] + b"\xff" + sound[9001:])
    go.touch()
    server.start()

    told = eventually(lambda: server.logs("db", "slow", "ERROR"))
    assert "could not be read" in told[0]
    assert server.write("db", "other n=1i").status == 204
    damaged.write_bytes(sound)

    eventually(lambda: seen(server)[0] == 420)
    assert seen(server)[1] == sum(range(420))
