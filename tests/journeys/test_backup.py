"""A server is backed up while clients write and a trigger runs, and restored elsewhere."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.serving import Server, eventually, serving

COPY = """\
def process_writes(influxdb3_local, table_batches, args=None):
    for batch in table_batches:
        for row in batch["rows"]:
            line = LineBuilder("seen").tag("w", row["w"]).int64_field("n", int(row["n"]))
            influxdb3_local.write(line.time_ns(row["time"]))
"""
COUNT = "SELECT w, count(*) AS many, max(n) AS last FROM {} GROUP BY w ORDER BY w"


def bulkhead(*words: str, url: str = "") -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name("bulkhead")
    environment = {**os.environ, "INFLUXDB3_HOST_URL": url}
    return subprocess.run(
        [program, *words], capture_output=True, text=True, env=environment, check=False
    )


class Writing(threading.Thread):
    """Writes numbered lines until told to stop."""

    def __init__(self, server: Server, label: str) -> None:
        super().__init__()
        self.server = server
        self.label = label
        self.acknowledged = 0
        self.stop = threading.Event()

    def run(self) -> None:
        while not self.stop.is_set():
            number = self.acknowledged + 1
            line = f"t,w={self.label} n={number}i {number}"
            answer = self.server.write("db", line, precision="ns")
            assert answer.status == 204, answer.text
            self.acknowledged = number


@pytest.mark.slow
def test_backup_under_load_holds_one_moment(tmp_path: Path) -> None:
    with serving(tmp_path / "one") as server:
        server.create_database("db")
        server.plugin("copy.py", COPY)
        assert server.trigger("db", "copy", "table:t", "copy.py").status == 200
        clients = [Writing(server, f"c{n}") for n in range(3)]
        for client in clients:
            client.start()
        try:
            eventually(lambda: all(client.acknowledged > 50 for client in clients))
            eventually(lambda: server.count("db", "seen"))
            before = {client.label: client.acknowledged for client in clients}
            made = bulkhead("backup", str(tmp_path / "backup"), url=server.url)
            after = {client.label: client.acknowledged for client in clients}
        finally:
            for client in clients:
                client.stop.set()
                client.join(30)
    assert made.returncode == 0, made.stderr
    assert made.stdout.startswith("Backup of node0 as of ")
    assert "MiB received" in made.stderr

    new = tmp_path / "two"
    words = ("--data-dir", str(new / "data"), "--node-id", "node0")
    plugins = ("--plugin-dir", str(new / "plugins"))
    done = bulkhead("restore", str(tmp_path / "backup"), *words, *plugins)
    again = bulkhead("restore", str(tmp_path / "backup"), *words, *plugins)
    assert done.returncode == 0, done.stderr
    assert "1 databases (db) with " in done.stdout
    assert again.returncode == 1
    assert "is not empty" in again.stderr

    with serving(new) as server:
        rows = server.sql("db", COUNT.format("t"))
        seen = eventually(
            lambda: (found := server.sql("db", COUNT.format("seen"))) == rows and found
        )
        later = server.write("db", "t,w=later n=1i 1", precision="ns")
        eventually(lambda: server.count("db", "seen") == server.count("db", "t"))
    for row in rows:
        # Nothing acknowledged before is missing, nothing is there twice, and no row was skipped.
        assert before[row["w"]] <= row["many"] == row["last"] <= after[row["w"]] + 1
    assert seen == rows
    assert later.status == 204


def test_backup_and_restore_refuse_what_would_be_lost(tmp_path: Path) -> None:
    used = tmp_path / "used"
    used.mkdir()
    (used / "mine").write_text("mine")
    with serving(tmp_path / "one") as server:
        refused = bulkhead("backup", str(used), url=server.url)
        made = bulkhead("backup", str(tmp_path / "b"), "--without-plugins", "-q", url=server.url)
    (manifest,) = (tmp_path / "b").glob("manifest.json")
    manifest.write_bytes(manifest.read_bytes().replace(b"wal", b"wax", 1))
    words = ("--data-dir", str(tmp_path / "two"), "--node-id", "n")
    damaged = bulkhead("restore", str(tmp_path / "b"), *words)

    assert (refused.returncode, made.returncode, damaged.returncode) == (1, 0, 1)
    assert "is not empty; a backup goes into a folder of its own" in refused.stderr
    assert made.stderr == ""
    assert "Restore command failed: manifest.json is damaged" in damaged.stderr
    assert not (tmp_path / "two").exists()
