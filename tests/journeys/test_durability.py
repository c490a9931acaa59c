"""What was acknowledged is there after the server was killed, and events go on where they were."""

from __future__ import annotations

import http.client
import threading
from pathlib import Path

import pytest

from tests.serving import Server, eventually, serving

COUNT = """\
def process_writes(influxdb3_local, table_batches, args=None):
    for batch in table_batches:
        for row in batch["rows"]:
            line = LineBuilder("seen").tag("w", row["w"]).int64_field("n", int(row["n"]))
            influxdb3_local.write(line.time_ns(row["time"]))
"""


class Client(threading.Thread):
    """Writes numbered lines until the server is gone, and knows which were acknowledged."""

    def __init__(self, server: Server, name: str, first: int) -> None:
        super().__init__()
        self.server = server
        self.label = name
        self.next = first
        self.acknowledged: list[int] = []

    def run(self) -> None:
        while True:
            line = f"t,w={self.label} n={self.next}i {self.next + 1}"
            try:
                answer = self.server.write("db", line, precision="ns")
            except (OSError, http.client.HTTPException):
                return
            if answer.status != 204:
                return
            self.acknowledged.append(self.next)
            self.next += 1


def test_no_acknowledged_line_is_lost_when_the_server_is_killed(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        server.create_database("db")
        server.plugin("count.py", COUNT)
        server.trigger("db", "count", "table:t", "count.py")
        acknowledged = {f"c{n}": 0 for n in range(4)}
        for _ in range(4):
            clients = [Client(server, name, n + 1) for name, n in acknowledged.items()]
            before = sum(acknowledged.values())
            for client in clients:
                client.start()
            eventually(lambda: sum(c.next for c in clients) > before + 200)  # noqa: B023
            server.kill()
            for client in clients:
                client.join(30)
                acknowledged[client.label] = client.next  # whether the last came through is open

            server.start()

            rows = server.sql("db", "SELECT w, n FROM t")
            stored = {(row["w"], row["n"]) for row in rows}
            for client in clients:
                wanted = {(client.label, n) for n in client.acknowledged}
                assert wanted <= stored
        total = len({(row["w"], row["n"]) for row in server.sql("db", "SELECT w, n FROM t")})
        eventually(lambda: server.count("db", "seen") == total, within_s=30)


@pytest.mark.parametrize("ending", ["kill", "stop"])
def test_a_trigger_goes_on_after_its_position_when_the_server_restarts(
    tmp_path: Path, ending: str
) -> None:
    with serving(tmp_path) as server:
        server.create_database("db")
        server.plugin(
            "append.py",
            "def process_writes(influxdb3_local, table_batches, args=None):\n"
            "    rows = [row for batch in table_batches for row in batch['rows']]\n"
            "    line = LineBuilder('runs').tag('first', str(rows[0]['n']))\n"
            "    influxdb3_local.write(line.int64_field('rows', len(rows)))\n",
        )
        server.trigger("db", "append", "table:t", "append.py")
        server.write("db", "t n=1i")
        eventually(lambda: server.count("db", "runs") == 1)
        getattr(server, ending)()

        server.start()
        server.write("db", "t n=2i")
        eventually(lambda: server.count("db", "runs") == 2)

        rows = server.sql("db", "SELECT first, rows FROM runs ORDER BY first")
        assert rows == [{"first": "1", "rows": 1}, {"first": "2", "rows": 1}]


def test_what_was_written_while_a_plugin_could_not_run_is_delivered_after_a_restart(
    tmp_path: Path,
) -> None:
    with serving(tmp_path) as server:
        server.create_database("db")
        server.plugin(
            "slow.py",
            "import time\n\n"
            "def process_writes(influxdb3_local, table_batches, args=None):\n"
            "    influxdb3_local.info('begun')\n"
            "    time.sleep(60)\n",
        )
        server.trigger("db", "slow", "table:t", "slow.py")
        server.write("db", "t,w=a n=1i 1", precision="ns")
        eventually(lambda: "begun" in server.logs("db", "slow"))
        server.write("db", "t,w=a n=2i 2", precision="ns")
        server.kill()
        server.plugin("slow.py", COUNT)

        server.start()

        eventually(lambda: server.count("db", "seen") == 2)


def test_a_corrupt_log_keeps_the_server_from_starting_and_names_the_place(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        server.create_database("db")
        for n in range(20):
            server.write("db", f"t n={n}i {n + 1}", precision="ns")
        server.kill()
        [segment] = (server.data / "node0" / "wal").glob("*.wal")
        content = bytearray(segment.read_bytes())
        content[len(content.rstrip(b"\0")) // 2] ^= 0xFF
        segment.write_bytes(content)

        with pytest.raises(AssertionError) as refused:
            server.start()

        assert segment.name in str(refused.value)
        assert "at byte" in str(refused.value)


def test_a_torn_tail_is_cut_and_the_server_takes_writes_again(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        server.create_database("db")
        for n in range(20):
            server.write("db", f"t n={n}i {n + 1}", precision="ns")
        server.kill()
        [segment] = (server.data / "node0" / "wal").glob("*.wal")
        with segment.open("ab") as file:
            file.write(segment.read_bytes()[-40:])

        server.start()
        server.write("db", "t n=20i 21", precision="ns")

        assert server.count("db", "t") == 21
