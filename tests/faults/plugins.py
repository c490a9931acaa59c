"""The plugins of the fault tests, and the triggers that run them.

Every derived row has a time of its own, so that a row derived twice is seen as two.
"""

from __future__ import annotations

from dataclasses import dataclass

from tests.serving import Server

DATABASE = "db"

ROWS = """\
import time

def rows(table_batches):
    return [row for batch in table_batches for row in batch["rows"]]

def line(table, row):
    one = LineBuilder(table).tag("w", row["w"]).int64_field("n", int(row["n"]))
    return one.time_ns(time.time_ns())
"""
COPY = (
    ROWS
    + """
def process_writes(influxdb3_local, table_batches, args=None):
    for row in rows(table_batches):
        influxdb3_local.write(line(args["to"], row))
"""
)
SYNC = (
    ROWS
    + """
class Lines:
    def __init__(self, lines):
        self.lines = lines

    def build(self):
        return "\\n".join(line.build() for line in self.lines)

def process_writes(influxdb3_local, table_batches, args=None):
    found = rows(table_batches)
    for first in range(0, len(found), 20):
        lines = [line(args["to"], row) for row in found[first : first + 20]]
        influxdb3_local.write_sync(Lines(lines))
"""
)
# Fails at the first attempt of each event, as far as it remembers.
RETRY = (
    ROWS
    + """
def process_writes(influxdb3_local, table_batches, args=None):
    found = rows(table_batches)
    for row in found:
        influxdb3_local.write(line(args["to"], row))
    key = f"{found[0]['w']} {found[0]['n']}"
    if not influxdb3_local.cache.get(key):
        influxdb3_local.cache.put(key, True)
        raise RuntimeError("once more")
"""
)
ASYNC = (
    ROWS
    + """
def process_writes(influxdb3_local, table_batches, args=None):
    for row in rows(table_batches):
        influxdb3_local.write(line(args["to"], row))
        time.sleep(row["n"] % 4 * 0.002)
"""
)
TICK = """\
import time

def process_scheduled_call(influxdb3_local, call_time, args=None):
    tick_s = round(call_time.timestamp())
    line = LineBuilder(args["to"]).int64_field("tick_s", tick_s).time_ns(time.time_ns())
    influxdb3_local.write(line)
"""

POISON = """\
import os

def process_writes(influxdb3_local, table_batches, args=None):
    os._exit(1)
"""
ANGRY = """\
def process_writes(influxdb3_local, table_batches, args=None):
    raise RuntimeError("not again")
"""


@dataclass(frozen=True, slots=True)
class Derivation:
    """A trigger that writes each row of `t`, or each tick, into a table of its name."""

    name: str
    code: str
    spec: str = "table:t"
    error_behavior: str = "log"
    run_async: bool = False


TICKS_PER_S = 4  # a plugin sees only the second of each
COPIES = (
    Derivation("copied", COPY),
    Derivation("synced", SYNC),
    Derivation("retried", RETRY, error_behavior="retry"),
    Derivation("at_once", ASYNC, run_async=True),
    Derivation("second", COPY, spec="table:copied"),
)
TICKS = (
    Derivation("ticked", TICK, spec=f"every:{1000 // TICKS_PER_S}ms"),
    Derivation("ticked_at_once", TICK, spec=f"every:{1000 // TICKS_PER_S}ms", run_async=True),
)


BAD = "bad"
POISONED = Derivation("poisoned", POISON, spec="table:poison")
ANGERED = Derivation("angered", ANGRY, spec="table:anger", error_behavior="disable")


def create_triggers(server: Server) -> None:
    """Create the databases and all triggers in them."""
    for database, ones in ((DATABASE, (*COPIES, *TICKS)), (BAD, (POISONED, ANGERED))):
        server.create_database(database)
        for one in ones:
            create_trigger(server, database, one)


def create_trigger(server: Server, database: str, one: Derivation) -> None:
    """Create one trigger, and its plugin."""
    server.plugin(f"{one.name}.py", one.code)
    document = {
        "db": database,
        "trigger_name": one.name,
        "trigger_specification": one.spec,
        "plugin_filename": f"{one.name}.py",
        "trigger_settings": {
            "run_async": one.run_async,
            "error_behavior": one.error_behavior,
            "catch_up": "all",
        },
        "trigger_arguments": {"to": one.name},
    }
    answer = server.post_json("/api/v3/configure/processing_engine_trigger", document)
    assert answer.status == 200, answer.text
