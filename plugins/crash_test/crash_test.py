"""Count events, and die at a chosen one: shows what a broken plugin costs the others.

Trigger: `all_tables`, `table:<name>` or `request:<path>`.
Arguments: `mode`, how to fail: `segfault`, `exit`, `raise`, `hang` or `none` (default); `at`, the
number of the event at which it does (default 3); `times`, how often that event fails before it
is let through (default 1); `target`, the table that takes the counts (default `crash_test`).
Writes: per event, integer fields `event` and `row_count`.

Never let `segfault` or `exit` run where plugins share the process of the database.
"""

import ctypes
import os
import time


def process_writes(influxdb3_local, table_batches, args=None):
    """Count the event and its rows, unless this is the one to fail at."""
    settings = {"target": "crash_test", **(args or {})}
    batches = [batch for batch in table_batches if batch["table_name"] != settings["target"]]
    if not batches:
        return
    event = count_or_fail(influxdb3_local, settings)
    line = LineBuilder(settings["target"]).int64_field("event", event)
    line.int64_field("row_count", sum(len(batch["rows"]) for batch in batches))
    influxdb3_local.write(line)


def process_request(influxdb3_local, query_parameters, request_headers, request_body, args=None):
    """Count the request, unless this is the one to fail at."""
    settings = {"target": "crash_test", **(args or {}), **query_parameters}
    event = count_or_fail(influxdb3_local, settings)
    influxdb3_local.write(LineBuilder(settings["target"]).int64_field("event", event))
    return {"event": event}


def count_or_fail(influxdb3_local, settings):
    """Return the number of this event, or fail as the arguments say."""
    event = influxdb3_local.cache.get("events", default=0) + 1
    if event == int(settings.get("at", "3")) and settings.get("mode", "none") != "none":
        # How often it has failed must outlive this process. The global cache does, because it is
        # the server's; the trigger's own cache comes back as it was before the event.
        key = f"crash_test failures of {settings['target']}"
        failures = influxdb3_local.cache.get(key, default=0, use_global=True)
        if failures < int(settings.get("times", "1")):
            influxdb3_local.cache.put(key, failures + 1, use_global=True)
            influxdb3_local.warn(f"event {event} fails now: {settings['mode']}")
            fail(settings["mode"])
    influxdb3_local.cache.put("events", event)
    return event


def fail(mode):
    """Fail in a way that a mistake in a plugin or in a C extension could."""
    if mode == "segfault":
        ctypes.string_at(0)  # reads where nothing is: SIGSEGV
    if mode == "exit":
        os._exit(3)
    while mode == "hang":
        time.sleep(1)
    raise RuntimeError(f"crash_test failed as asked: {mode}")
