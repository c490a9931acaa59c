"""Triggers that are behind: rows that left memory, events that come again, and what is passed over.

Plugins here wait for a file before they go on, so that the test decides how far behind they are.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.serving import Server, common_folder, eventually, serving

WAIT = """\
import os, time

def wait(args):
    while not os.path.exists(args["go"]):
        time.sleep(0.01)

"""

# One line for each event, so that the plugin itself takes no time.
ADDS = (
    WAIT
    + """
def process_writes(influxdb3_local, table_batches, args=None):
    wait(args)
    rows = [row["n"] for batch in table_batches for row in batch["rows"]]
    line = LineBuilder("seen").tag("first", str(rows[0]))
    influxdb3_local.write(line.int64_field("rows", len(rows)).int64_field("total", sum(rows)))
"""
)


def adding(server: Server, go: Path, **settings: object) -> None:
    server.create_database("db")
    server.plugin("adds.py", ADDS)
    answer = server.post_json(
        "/api/v3/configure/processing_engine_trigger",
        {
            "db": "db",
            "trigger_name": "adds",
            "trigger_specification": "table:t",
            "plugin_filename": "adds.py",
            "trigger_settings": {**settings, "grants": [f"write={go.parent}"]},
            "trigger_arguments": {"go": str(go)},
        },
    )
    assert answer.status == 200, answer.text


def lag(server: Server) -> dict[str, Any]:
    columns = "on_lag, lag_events, lag_rows, lag_s, skipped_rows, gap_rows"
    [row] = server.sql("db", f"SELECT {columns} FROM system.processing_engine_triggers")  # noqa: S608  ours
    return row


def write_rows(server: Server, start: int, end: int) -> None:
    lines = "\n".join(f"t n={n}i {n + 1}" for n in range(start, end))
    assert server.write("db", lines, precision="ns").status == 204


def sizes(server: Server) -> list[int]:
    """Return how many rows each run of the trigger had, as far as these are committed."""
    if not server.count("db", "seen"):
        return []
    return [row["rows"] for row in server.sql("db", "SELECT rows FROM seen ORDER BY time")]


def test_a_trigger_reads_rows_from_the_log_that_a_restart_finds_only_in_files(
    tmp_path: Path,
) -> None:
    go = common_folder(tmp_path) / "go"
    with serving(tmp_path, "--persist-age", "100ms") as server:
        adding(server, go)
        for n in range(40):
            write_rows(server, n * 5000, n * 5000 + 5000)
        eventually(
            lambda: (
                server.sql("db", "SELECT sum(row_count) AS n FROM system.parquet_files")
                == [{"n": 200_000}]
            )
        )
        server.kill()

        server.start()
        behind = lag(server)
        go.touch()

        eventually(lambda: sum(sizes(server)) == 200_000, within_s=30)
        assert (behind["lag_events"], behind["lag_rows"]) == (40, 200_000)
        assert behind["lag_s"] > 0
        assert max(sizes(server)) <= 50_000
        total = server.sql("db", "SELECT sum(total) AS n FROM seen")
        assert total == [{"n": sum(range(200_000))}]
        assert eventually(lambda: lag(server)["lag_rows"] == 0)


def test_a_row_written_at_once_is_there_once_although_the_server_died_in_the_run(
    tmp_path: Path,
) -> None:
    go = common_folder(tmp_path) / "go"
    with serving(tmp_path) as server:
        server.create_database("db")
        server.plugin(
            "sync.py",
            WAIT + "def process_writes(influxdb3_local, table_batches, args=None):\n"
            "    rows = [row for batch in table_batches for row in batch['rows']]\n"
            "    for row in rows:\n"
            "        line = LineBuilder('sync').tag('n', str(row['n'])).int64_field('v', 1)\n"
            "        influxdb3_local.write_sync(line)\n"
            "    wait(args)\n"
            "    influxdb3_local.write(LineBuilder('run').int64_field('rows', len(rows)))\n",
        )
        arguments, grants = {"go": str(go)}, [f"write={go.parent}"]
        server.trigger("db", "sync", "table:t", "sync.py", arguments=arguments, grants=grants)
        server.write("db", "t n=0i 1\nt n=1i 2", precision="ns")
        eventually(lambda: server.count("db", "sync") == 2)
        server.write("db", "t n=2i 3", precision="ns")  # must not become part of the same event
        server.kill()

        server.start()
        go.touch()

        eventually(lambda: server.count("db", "sync") == 3)
        eventually(lambda: server.count("db", "run") == 2)
        runs = server.sql("db", "SELECT rows FROM run ORDER BY rows")
        assert runs == [{"rows": 1}, {"rows": 2}]
        assert server.count("db", "sync") == 3  # each with a time of its own: no duplicate


def test_a_tick_in_hand_at_a_kill_is_run_again_and_no_other_twice(tmp_path: Path) -> None:
    go = common_folder(tmp_path) / "go"
    with serving(tmp_path) as server:
        server.create_database("db")
        server.plugin(
            "ticks.py",
            WAIT + "def process_scheduled_call(influxdb3_local, call_time, args=None):\n"
            "    tick = call_time.isoformat()\n"
            "    if not os.path.exists(args['go'] + '.first'):\n"
            "        open(args['go'] + '.first', 'w').write(tick)\n"
            "        wait(args)\n"
            "    influxdb3_local.write(LineBuilder('tick').tag('at', tick).int64_field('v', 1))\n",
        )
        server.trigger(
            "db",
            "ticks",
            "every:1s",
            "ticks.py",
            arguments={"go": str(go)},
            run_async=True,
            grants=[f"write={go.parent}"],
        )
        eventually(lambda: server.count("db", "tick") >= 2)
        first = go.with_suffix(".first").read_text()
        server.kill()
        go.touch()

        server.start()

        eventually(
            lambda: any(row["at"] == first for row in server.sql("db", "SELECT * FROM tick"))
        )
        eventually(lambda: server.count("db", "tick") >= 4)
        ticks = [row["at"] for row in server.sql("db", "SELECT at FROM tick")]
        assert len(ticks) == len(set(ticks))


def test_a_trigger_that_wants_the_newest_rows_passes_over_the_others_and_says_so(
    tmp_path: Path,
) -> None:
    go = common_folder(tmp_path) / "go"
    with serving(tmp_path) as server:
        adding(server, go, on_lag="newest")
        write_rows(server, 0, 1)
        eventually(lambda: "starting execution of wal plugin." in server.logs("db", "adds"))
        for n in range(12):
            write_rows(server, 1 + n * 10_000, 1 + n * 10_000 + 10_000)
        eventually(lambda: lag(server)["lag_rows"] == 120_001)
        go.touch()

        eventually(lambda: sizes(server) == [1, 50_000])
        assert (lag(server)["on_lag"], lag(server)["skipped_rows"]) == ("newest", 70_000)
        [told] = server.logs("db", "adds", "WARN")
        assert told.startswith("70000 rows were passed over to catch up")


def test_a_trigger_that_merges_takes_what_waits_in_fewer_and_larger_events(tmp_path: Path) -> None:
    go = common_folder(tmp_path) / "go"
    with serving(tmp_path) as server:
        adding(server, go, on_lag="merge")
        write_rows(server, 0, 1)
        eventually(lambda: "starting execution of wal plugin." in server.logs("db", "adds"))
        for n in range(12):
            write_rows(server, 1 + n * 10_000, 1 + n * 10_000 + 10_000)
        eventually(lambda: lag(server)["lag_rows"] == 120_001)
        go.touch()

        eventually(lambda: sizes(server) == [1, 120_000])
