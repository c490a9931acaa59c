"""Raise an alert when a column passes a limit, and clear it when it comes back.

Trigger: `table:<name>` or `all_tables`.
Arguments: `column` (required), the column to watch; `max` and/or `min`, the limits; `by`, the tags
that tell series apart, separated by spaces (default: none); `rule`, a name for the alert (default:
the column); `target`, the table that takes the alerts (default `alerts`).
Writes: at the time of the row, tags `rule`, `table_name`, `series`, `state` (`raised` or
`cleared`), fields `value` and `message`.

A series that stays above its limit alerts once: which series are raised is kept in the cache.
"""


def process_writes(influxdb3_local, table_batches, args=None):
    """Compare each new row with the limits and write the changes of state."""
    settings = args or {}
    if "column" not in settings or not ("max" in settings or "min" in settings):
        raise ValueError("set the trigger arguments 'column' and 'max' or 'min'")
    column = settings["column"]
    by = settings.get("by", "").split()
    rule = settings.get("rule", column)
    target = settings.get("target", "alerts")
    highest = float(settings.get("max", "inf"))
    lowest = float(settings.get("min", "-inf"))
    raised = set(influxdb3_local.cache.get("raised", ()))

    for batch in table_batches:
        table = batch["table_name"]
        # Alerts must not raise alerts.
        if table == target:
            continue
        for row in batch["rows"]:
            value = row.get(column)
            if value is None or isinstance(value, str | bool):
                continue
            series = series_of(row, by)
            is_over = not lowest <= value <= highest
            if is_over == ((table, series) in raised):
                continue
            raised ^= {(table, series)}
            line = LineBuilder(target).tag("rule", rule).tag("table_name", table)
            line.tag("series", series).tag("state", "raised" if is_over else "cleared")
            line.float64_field("value", value)
            line.string_field("message", message(column, value, lowest, highest))
            line.time_ns(row["time"])
            influxdb3_local.write(line)
            if is_over:
                influxdb3_local.warn(f"{rule}: {series}: {column} is {value}")

    influxdb3_local.cache.put("raised", raised)


def series_of(row, by):
    """Name a series by its tags; a row holds only what was written, so some may be absent."""
    return " ".join(f"{name}={row[name]}" for name in by if name in row) or "all"


def message(column, value, lowest, highest):
    """Say in words what has happened."""
    if value > highest:
        return f"{column} is {value}, above {highest}"
    if value < lowest:
        return f"{column} is {value}, below {lowest}"
    return f"{column} is {value}, within its limits again"
