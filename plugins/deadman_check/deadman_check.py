"""Raise an alert when nothing has been written to a table for some time.

Trigger: `every:<duration>` or `cron:<expression>`.
Arguments: `table` (required), the table to watch; `silence_s`, how many seconds of silence are too
many (default 300); `target`, the table that takes the alerts (default `alerts`).
Writes: at the time of the call, tags `rule` (`deadman`), `table_name`, `state` (`raised` or
`cleared`), fields `silent_s` and `message`.

One alert per silence: whether it is raised is kept in the cache.
"""

from datetime import timezone

NS_PER_S = 1_000_000_000


def process_scheduled_call(influxdb3_local, call_time, args=None):
    """Compare the newest time in the table with the time of this call."""
    settings = {"silence_s": "300", "target": "alerts", **(args or {})}
    if "table" not in settings:
        raise ValueError("set the trigger argument 'table'")
    # The call time comes without a zone and is UTC.
    now_ns = int(call_time.replace(tzinfo=timezone.utc).timestamp()) * NS_PER_S  # noqa: UP017 - Core may run an older Python
    newest_ns = newest_time(influxdb3_local, settings["table"])
    if newest_ns is None:
        influxdb3_local.warn(f"table {settings['table']} holds no rows yet")
        return

    silent_s = (now_ns - newest_ns) / NS_PER_S
    is_silent = silent_s > float(settings["silence_s"])
    if is_silent == influxdb3_local.cache.get("is_silent", default=False):
        return
    line = LineBuilder(settings["target"]).tag("rule", "deadman")
    line.tag("table_name", settings["table"]).tag("state", "raised" if is_silent else "cleared")
    line.float64_field("silent_s", silent_s)
    line.string_field("message", f"last row {silent_s:.0f} s ago")
    line.time_ns(now_ns)
    influxdb3_local.write(line)
    influxdb3_local.cache.put("is_silent", is_silent)


def newest_time(influxdb3_local, table):
    """Return the newest time in a table, or None when there is no row or no such table."""
    known = influxdb3_local.query(
        "SELECT table_name FROM information_schema.tables WHERE table_name = $table",
        {"table": table},
    )
    if not known:
        return None
    # A parameter cannot stand for a table, so the name is quoted here.
    quoted = '"' + table.replace('"', '""') + '"'
    rows = influxdb3_local.query(f"SELECT max(time) AS newest FROM {quoted}")  # noqa: S608 - quoted above
    return rows[0]["newest"] if rows else None
