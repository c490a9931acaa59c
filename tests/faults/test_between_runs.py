"""A worker that ends when no event is in it: the event that comes next is not to blame."""

from __future__ import annotations

from pathlib import Path

from tests.serving import Server, eventually

COPY = """\
def process_writes(influxdb3_local, table_batches, args=None):
    for batch in table_batches:
        for row in batch["rows"]:
            line = LineBuilder("copy").int64_field("n", row["n"]).time_ns(row["time"])
            influxdb3_local.write(line)
"""


def test_an_event_that_was_taken_when_the_worker_was_gone_is_run_by_the_next(
    tmp_path: Path,
) -> None:
    # One death would be enough to give the event up.
    server = Server(tmp_path, "--max-deaths", "1")
    server.program = "tests.faults.launcher"
    server.environment = {"BULKHEAD_FAULT": "run.event_taken#2=kill-workers"}
    try:
        server.start()
        server.create_database("db")
        server.plugin("copy.py", COPY)
        assert server.trigger("db", "t", "table:cpu", "copy.py").status == 200
        server.write("db", "cpu n=1i 1", precision="ns")
        eventually(lambda: server.count("db", "copy") == 1)
        server.write("db", "cpu n=2i 2", precision="ns")
        eventually(lambda: server.count("db", "copy") == 2)

        errors = server.logs("db", "t", "ERROR")
        assert len(errors) == 1
        assert "worker ended between events" in errors[0]
    finally:
        server.close()
