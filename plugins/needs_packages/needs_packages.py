# /// script
# requires-python = ">=3.11"
# dependencies = ["numpy>=1.26"]
# ///
"""Tell when a column will reach a limit, from a line fitted through its last rows with numpy.

Trigger: `every:<duration>` or `cron:<expression>`.
Arguments: `table`, `column` and `limit` (required); `window_s`, how many seconds of rows the line
goes through (default 3600); `target`, the table that takes the forecasts (default `forecast`).
Writes: at the time of the call, tags `table_name` and `column`, fields `slope_per_s` and, when the
line leads to the limit, `reached_in_s`.

The comment at the top says which packages this needs (inline script metadata, PEP 723): the server
puts them into an environment of this trigger's own before the trigger exists.
"""

from datetime import timezone

import numpy as np

NS_PER_S = 1_000_000_000


def process_scheduled_call(influxdb3_local, call_time, args=None):
    """Fit a line and follow it to the limit."""
    settings = {"window_s": "3600", "target": "forecast", **(args or {})}
    missing = [name for name in ("table", "column", "limit") if name not in settings]
    if missing:
        raise ValueError(f"set the trigger argument {missing[0]!r}")
    # The call time comes without a zone and is UTC.
    now_ns = int(call_time.replace(tzinfo=timezone.utc).timestamp()) * NS_PER_S  # noqa: UP017 - Core may run an older Python
    window_ns = int(float(settings["window_s"]) * NS_PER_S)
    rows = rows_between(influxdb3_local, settings, now_ns - window_ns, now_ns)
    if len({row["time"] for row in rows}) < 2:
        influxdb3_local.info(f"{len(rows)} rows of {settings['table']} are too few for a line")
        return

    age_s = np.array([(row["time"] - now_ns) / NS_PER_S for row in rows])
    slope_per_s, now = np.polyfit(age_s, np.array([row["value"] for row in rows], float), 1)
    line = LineBuilder(settings["target"]).tag("table_name", settings["table"])
    line.tag("column", settings["column"]).float64_field("slope_per_s", float(slope_per_s))
    missing_value = float(settings["limit"]) - now
    # The line of a steady column is level, or nearly: it leads nowhere.
    if abs(slope_per_s) > np.finfo(float).eps * abs(now) and missing_value / slope_per_s > 0:
        line.float64_field("reached_in_s", float(missing_value / slope_per_s))
    influxdb3_local.write(line.time_ns(now_ns))


def rows_between(influxdb3_local, settings, start_ns, end_ns):
    """Return the rows with a value in a span of time."""
    table, column = quoted(settings["table"]), quoted(settings["column"])
    return influxdb3_local.query(
        f"SELECT time, {column} AS value FROM {table} WHERE {column} IS NOT NULL "  # noqa: S608 - quoted
        f"AND time > to_timestamp_nanos({start_ns}) AND time <= to_timestamp_nanos({end_ns})"
    )


def quoted(name):
    """Quote a name: a parameter cannot stand for a table or a column."""
    return '"' + name.replace('"', '""') + '"'
