"""What running workers use, as a table of a real server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.serving import Server, eventually, serving

HOLD = """\
def process_writes(influxdb3_local, table_batches, args=None):
    block = bytearray(b"x" * (64 << 20))
    influxdb3_local.cache.put("block", block)
    influxdb3_local.write(LineBuilder("copy").int64_field("n", len(block)))
"""


def workers(server: Server) -> list[dict[str, Any]]:
    return server.sql("db", "SELECT * FROM system.processing_engine_workers")


def test_running_worker_is_a_row_with_what_it_uses_and_may_use(tmp_path: Path) -> None:
    with serving(tmp_path / "server", "--default-limit", "memory=300MiB") as server:
        server.create_database("db")
        server.plugin("hold.py", HOLD)
        server.trigger("db", "holder", "table:t", "hold.py")
        server.write("db", "t n=0i 1", precision="ns")
        eventually(lambda: server.count("db", "copy") == 1)

        [row] = eventually(
            lambda: [each for each in workers(server) if each.get("rss_bytes", 0) > 64 << 20]
        )

        assert row["trigger_name"] == "holder"
        assert row["peak_memory_bytes"] > 64 << 20
        assert row["memory_limit_bytes"] == 300 << 20
        assert row["threads"] >= 1
        assert row["cpu_s"] > 0
