"""Databases and tables are deleted and made again, and rows grow too old, as users see it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

from tests.serving import Server, eventually, serving

PLUGIN = """\
def process_writes(influxdb3_local, table_batches, args=None):
    influxdb3_local.info("rows came")
"""


def bulkhead(server: Server, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name("bulkhead")
    environment = {**os.environ, "INFLUXDB3_HOST_URL": server.url}
    return subprocess.run(
        [program, *words], input=stdin, capture_output=True, text=True, env=environment, check=False
    )


def databases(server: Server, *words: str) -> list[dict[str, object]]:
    ended = bulkhead(server, "show", "databases", "--format", "json", *words)
    rows: list[dict[str, object]] = json.loads(ended.stdout)
    return rows


def test_deleted_database_is_gone_with_its_triggers_and_its_name_is_free(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        server.create_database("db")
        server.plugin("p.py", PLUGIN)
        assert server.trigger("db", "t", "all_tables", "p.py").status == 200
        assert server.write("db", "old v=1 1").status == 204
        eventually(lambda: server.workers() != [])

        refused = bulkhead(server, "delete", "database", "db", stdin="no\n")
        deleted = bulkhead(server, "delete", "database", "db", stdin="yes\n")
        unknown = server.request("GET", "/api/v3/query_sql", db="db", q="SELECT 1")
        eventually(lambda: server.workers() == [])
        again = bulkhead(server, "delete", "database", "db", "-y")
        made = server.write("db", "new v=2 2")
        listed = databases(server, "--show-deleted")
        server.kill()
        server.start()

        assert (refused.returncode, deleted.returncode) == (1, 0)
        assert deleted.stdout == 'Database "db" deleted successfully\n'
        assert unknown.status == 404
        assert "already deleted: db" in again.stderr
        assert made.status == 204
        [gone] = [row["iox::database"] for row in listed if row["deleted"]]
        assert str(gone).startswith("db-20")
        assert databases(server, "--show-deleted") == listed
        assert [row["iox::database"] for row in databases(server)] == ["_internal", "db"]
        assert server.sql("db", "SELECT v FROM new") == [{"v": 2.0}]
        assert server.count("db", "old") == 0
        assert server.sql("db", "SELECT * FROM system.processing_engine_triggers") == []


def test_deleted_table_does_not_come_back_when_its_name_is_used_again(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        server.write("db", "t,h=a v=1 1\nkept v=1 1")

        deleted = bulkhead(server, "delete", "table", "-d", "db", "t", "-y")
        gone = server.count("db", "t")
        # Another type: the new table has nothing to do with the old one.
        made = server.write("db", 't,h=a v="text" 2')
        server.kill()
        server.start()

        assert deleted.stdout == 'Table "db"."t" deleted successfully\n'
        assert gone == 0
        assert made.status == 204
        assert server.sql("db", "SELECT h, v FROM t") == [{"h": "a", "v": "text"}]
        assert server.count("db", "kept") == 1


def test_hard_deletion_removes_at_once_and_leaves_other_rows(tmp_path: Path) -> None:
    with serving(tmp_path, "--persist-bytes", "1B", "--persist-age", "1s") as server:
        server.write("db", "t v=1 1\nkept v=1 1")
        parquet = server.data / "node0" / "parquet"
        eventually(lambda: len(list(parquet.rglob("*.parquet"))) == 2)

        deleted = bulkhead(server, "delete", "table", "-d", "db", "t", "-y", "--hard-delete", "now")
        eventually(lambda: len(list(parquet.rglob("*.parquet"))) == 1)
        server.write("db", "t v=2 2")

        assert deleted.returncode == 0
        assert server.sql("db", "SELECT v FROM t") == [{"v": 2.0}]
        assert server.count("db", "kept") == 1


def test_retention_hides_old_rows_at_once_and_is_shown(tmp_path: Path) -> None:
    now_ns = time.time_ns()
    old_ns = now_ns - 7200 * 10**9
    with serving(tmp_path) as server:
        created = bulkhead(server, "create", "database", "--retention-period", "1h", "db")
        server.write("db", f"t v=1 {old_ns}\nt v=2 {now_ns}", precision="ns")
        limited = server.sql("db", "SELECT v FROM t")
        shown = bulkhead(server, "show", "retention", "--format", "csv")
        updated = bulkhead(server, "update", "database", "-d", "db", "-r", "90m")
        one = bulkhead(server, "show", "retention", "-d", "db", "--format", "json")
        bulkhead(server, "update", "database", "-d", "db", "-r", "none")
        unlimited = bulkhead(server, "show", "retention", "-d", "db", "--format", "json")

    assert (created.returncode, limited) == (0, [{"v": 2.0}])
    assert "db,1h" in shown.stdout.splitlines()
    assert updated.stdout == 'Database "db" updated successfully\n'
    assert json.loads(one.stdout) == [{"database_name": "db", "retention_period": "90m"}]
    assert json.loads(unlimited.stdout)[0]["retention_period"] == "infinite"


def test_full_memory_says_when_to_come_again(tmp_path: Path) -> None:
    with serving(tmp_path, "--hot-buffer-limit", "1B") as server:
        server.write("db", "t v=1 1")
        v3 = server.write("db", "t v=2 2")
        v2 = server.request("POST", "/api/v2/write", "t v=2 2", None, bucket="db")

    assert (v3.status, v3.headers["retry-after"]) == (503, "1")
    assert "hot buffer" in v3.text
    assert (v2.status, v2.headers["retry-after"]) == (503, "1")
    assert v2.json()["code"] == "unavailable"
