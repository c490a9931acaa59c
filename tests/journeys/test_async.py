"""`run_async`: several runs at once in one process, with one cache, and nothing lost."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.serving import Server, common_folder, eventually, serving

# Each run waits until four are inside at the same time.
MEETS = """\
import threading

def process_request(influxdb3_local, query, headers, body, args=None):
    barrier = influxdb3_local.cache.get("barrier")
    if barrier is None:
        barrier = BARRIER
    barrier.wait(20)
    return {"n": query["n"]}
"""

COUNTS = """\
import os, time

def process_writes(influxdb3_local, table_batches, args=None):
    for batch in table_batches:
        for row in batch["rows"]:
            if row["n"] == int(args["die"]) and not os.path.exists(args["mark"]):
                open(args["mark"], "w").close()
                os._exit(5)
            time.sleep(row["n"] % 5 * 0.01)
            line = LineBuilder("seen").tag("n", str(row["n"])).int64_field("v", 1)
            influxdb3_local.write(line)
"""


def test_four_requests_are_inside_one_process_at_the_same_time(server: Server) -> None:
    server.create_database("db")
    server.plugin("meet/__init__.py", "import threading\nBARRIER = threading.Barrier(4)\n" + MEETS)
    server.trigger("db", "meet", "request:meet", "meet", run_async=True)

    with ThreadPoolExecutor(4) as clients:
        answers = list(
            clients.map(lambda n: server.request("GET", "/api/v3/engine/meet", n=n), range(4))
        )

    assert [answer.json() for answer in answers] == [{"n": str(n)} for n in range(4)]
    assert len(server.workers()) == 1


def test_concurrent_wal_runs_write_each_row_once_over_a_crash_and_a_kill(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        server.create_database("db")
        server.plugin("count.py", COUNTS)
        common = common_folder(tmp_path)
        server.trigger(
            "db",
            "count",
            "table:t",
            "count.py",
            arguments={"die": "37", "mark": str(common / "mark")},
            run_async=True,
            grants=[f"write={common}"],
        )
        for n in range(60):
            assert server.write("db", f"t n={n}i {n + 1}", precision="ns").status == 204
        eventually(lambda: server.count("db", "seen") > 20)
        server.kill()

        server.start()
        for n in range(60, 120):
            assert server.write("db", f"t n={n}i {n + 1}", precision="ns").status == 204

        eventually(
            lambda: server.sql("db", "SELECT count(DISTINCT n) AS n FROM seen") == [{"n": 120}],
            within_s=30,
        )
        assert server.count("db", "seen") == 120


def test_a_run_past_its_limit_takes_its_neighbours_with_it_but_not_their_events(
    server: Server,
) -> None:
    server.create_database("db")
    server.plugin(
        "hang.py",
        "import time\n\n"
        "def process_writes(influxdb3_local, table_batches, args=None):\n"
        "    for batch in table_batches:\n"
        "        for row in batch['rows']:\n"
        "            if row['n'] == 1:\n"
        "                time.sleep(300)\n"
        "            if row['n'] == 2 and not influxdb3_local.cache.get('again'):\n"
        "                influxdb3_local.cache.put('again', True)\n"
        "                time.sleep(300)\n"
        "            influxdb3_local.write(LineBuilder('ok').int64_field('n', row['n']))\n",
    )
    answer = server.post_json(
        "/api/v3/configure/processing_engine_trigger",
        {
            "db": "db",
            "trigger_name": "hang",
            "trigger_specification": "table:t",
            "plugin_filename": "hang.py",
            "trigger_settings": {
                "run_async": True,
                "error_behavior": "log",
                "limits": {"time": "2s"},
            },
        },
    )
    assert answer.status == 200, answer.text

    server.write("db", "t n=1i 1", precision="ns")
    eventually(lambda: server.logs("db", "hang"))
    server.write("db", "t n=3i 3", precision="ns")

    eventually(lambda: server.count("db", "ok") == 1)
    errors = eventually(lambda: server.logs("db", "hang", "ERROR"))
    assert any("time limit of 2 s" in text for text in errors)


def test_an_event_that_waits_for_its_next_attempt_does_not_keep_the_others_from_a_process(
    server: Server, tmp_path: Path
) -> None:
    server.create_database("db")
    server.plugin(
        "fails.py",
        "import os, threading, time\n\n"
        "def process_writes(influxdb3_local, table_batches, args=None):\n"
        "    if threading.current_thread() is threading.main_thread():\n"
        "        raise ValueError('not on the first lane')\n"
        "    time.sleep(0.2)\n"
        "    for row in table_batches[0]['rows']:\n"
        "        if row['n'] < 0 and not os.path.exists(args['mark']):\n"
        "            open(args['mark'], 'w').close()\n"
        "            os._exit(5)\n"
        "        table = 'ok' if row['n'] > 0 else 'late'\n"
        "        influxdb3_local.write(LineBuilder(table).int64_field('n', row['n']))\n",
    )
    common = common_folder(tmp_path)
    server.trigger(
        "db",
        "fails",
        "table:t",
        "fails.py",
        arguments={"mark": str(common / "mark")},
        error_behavior="retry",
        run_async=True,
        grants=[f"write={common}"],
    )

    def failures() -> int:
        return len(server.logs("db", "fails", "ERROR"))

    while not failures():  # the first lane takes a row when the others are busy
        server.write("db", "t n=1i")
        threading.Event().wait(0.06)
    eventually(lambda: failures() == 7)

    server.write("db", "t n=-1i")  # the next attempt is five seconds away

    eventually(lambda: server.count("db", "late") == 1, within_s=3.0)


def test_a_changed_folder_is_run_by_a_fresh_process_while_old_runs_end_in_theirs(
    server: Server,
) -> None:
    server.create_database("db")
    code = (
        "import time\n\n"
        "def process_request(influxdb3_local, query, headers, body, args=None):\n"
        "    influxdb3_local.info('in')\n"
        "    time.sleep(float(query['s']))\n"
        "    return 'old'\n"
    )
    server.plugin("folder/__init__.py", code)
    server.trigger("db", "folder", "request:folder", "folder", run_async=True)

    with ThreadPoolExecutor(3) as clients:
        slow = [
            clients.submit(server.request, "GET", "/api/v3/engine/folder", s=3) for _ in range(3)
        ]
        eventually(lambda: server.logs("db", "folder").count("in") == 3)
        server.plugin("folder/__init__.py", code.replace("old", "fresh"))
        fresh = server.request("GET", "/api/v3/engine/folder", s=0)

    assert "fresh" in fresh.text
    assert [future.result().status for future in slow] == [200, 200, 200]
    assert server.logs("db", "folder", "ERROR") == []


def test_disabling_ends_all_lanes_in_time(server: Server) -> None:
    server.create_database("db")
    server.plugin(
        "slow.py",
        "import time\n\n"
        "def process_request(influxdb3_local, query, headers, body, args=None):\n"
        "    influxdb3_local.info('in')\n"
        "    while True:\n"
        "        time.sleep(0.01)\n"
        "        influxdb3_local.info('turn')\n",
    )
    server.trigger("db", "slow", "request:slow", "slow.py", run_async=True)
    statuses: list[int] = []
    clients = [
        threading.Thread(
            target=lambda: statuses.append(server.request("GET", "/api/v3/engine/slow").status)
        )
        for _ in range(3)
    ]
    for client in clients:
        client.start()
    eventually(lambda: server.logs("db", "slow").count("in") == 3)

    path = "/api/v3/configure/processing_engine_trigger/disable"
    assert server.request("POST", path, db="db", trigger_name="slow").status == 200

    for client in clients:
        client.join(10)
    assert len(statuses) == 3
    assert all(status >= 500 for status in statuses)
    assert server.workers() == []


# The row with n = 0 ends the process while others are in the midst of their runs.
POISON = """\
import os, threading, time

def process_writes(influxdb3_local, table_batches, args=None):
    for batch in table_batches:
        for row in batch["rows"]:
            if row["n"] == 0:
                time.sleep(0.2)
                os._exit(5)
            time.sleep(0.4)
            influxdb3_local.write(LineBuilder("seen").int64_field("n", row["n"]))
"""


def begun(server: Server) -> int:
    return server.logs("db", "poison").count("starting execution of wal plugin.")


def test_only_the_event_that_kills_is_given_up_and_not_its_neighbours(tmp_path: Path) -> None:
    with serving(tmp_path, "--max-deaths", "1") as server:
        server.create_database("db")
        server.plugin("poison.py", POISON)
        server.trigger("db", "poison", "table:t", "poison.py", run_async=True)

        server.write("db", "t n=5i 5", precision="ns")
        eventually(lambda: server.count("db", "seen") == 1)

        for n in (1, 0, 2, 3, 4):
            before = begun(server)
            server.write("db", f"t n={n}i {n + 10}", precision="ns")
            eventually(lambda before=before: begun(server) > before)  # an event each

        eventually(lambda: server.count("db", "seen") == 5, within_s=30)
        query = "SELECT rows, attempts FROM system.processing_engine_dead_letters"
        assert eventually(lambda: server.sql("db", query)) == [{"rows": 1, "attempts": 2}]
        seen = server.sql("db", "SELECT n FROM seen ORDER BY n")
        assert [row["n"] for row in seen] == [1, 2, 3, 4, 5]
