"""Roll rows up per time window: count, mean, minimum and maximum of every numeric column.

Trigger: `table:<name>` or `all_tables`.
Arguments: `by`, the tags to group by, separated by spaces (default: none); `window_s`, the length
of a window in seconds (default 60); `keep`, how many windows stay open for late rows (default
30); `target`, the table that takes the roll-ups (default `rollup`).
Writes: at the start of each window, tag `source` (the table the rows came from) and the tags of
`by`; fields `<column>_count`, `_mean`, `_min`, `_max`.

Partial sums stay in the trigger's cache, so no row is read twice. Each flush writes the windows
that it has touched once more: the same series and time, so the newer point replaces the older.
"""

NS_PER_S = 1_000_000_000


def process_writes(influxdb3_local, table_batches, args=None):
    """Add the new rows to their windows and write those windows."""
    settings = {"by": "", "window_s": "60", "keep": "30", "target": "rollup", **(args or {})}
    window_ns = int(float(settings["window_s"]) * NS_PER_S)
    by = settings["by"].split()
    # A shallow copy of a flat dict of tuples: if this run fails, the cache still holds the sums
    # from before it.
    sums = dict(influxdb3_local.cache.get("sums", {}))
    closed_ns = influxdb3_local.cache.get("closed_ns", 0)
    touched = set()
    late = 0

    for batch in table_batches:
        # Its own output may come back under `all_tables`; it is not raw data.
        if batch["table_name"] == settings["target"]:
            continue
        for row in batch["rows"]:
            start_ns = row["time"] - row["time"] % window_ns
            if start_ns < closed_ns:
                late += 1
                continue
            touched |= add(sums, (start_ns, batch["table_name"], tags_of(row, by)), row)

    for line in lines_of(settings["target"], sums, touched):
        influxdb3_local.write(line)
    if late:
        influxdb3_local.warn(f"{late} rows came after their window was closed")
    closed_ns = close_old(sums, int(settings["keep"]), closed_ns, window_ns)
    influxdb3_local.cache.put("sums", sums)
    influxdb3_local.cache.put("closed_ns", closed_ns)


def tags_of(row, by):
    """Return the tags to group by; a row holds only what was written, so some may be absent."""
    return tuple((name, row[name]) for name in by if name in row)


def add(sums, series, row):
    """Add the numeric columns of a row to the sums; return the keys that changed."""
    changed = set()
    for name, value in row.items():
        # True and False are integers in Python, but no measurements.
        if name == "time" or isinstance(value, str | bool):
            continue
        key = (*series, name)
        count, total, lowest, highest = sums.get(key, (0, 0, value, value))
        sums[key] = (count + 1, total + value, min(lowest, value), max(highest, value))
        changed.add(key)
    return changed


def lines_of(target, sums, touched):
    """Return one line per window and series that has changed."""
    lines = {}
    for key in sorted(touched):
        start_ns, table, tags, column = key
        line = lines.get(key[:3])
        if line is None:
            line = lines[key[:3]] = LineBuilder(target).tag("source", table).time_ns(start_ns)
            for name, value in tags:
                line.tag(name, value)
        count, total, lowest, highest = sums[key]
        line.int64_field(f"{column}_count", count)
        line.float64_field(f"{column}_mean", total / count)
        line.float64_field(f"{column}_min", lowest)
        line.float64_field(f"{column}_max", highest)
    return lines.values()


def close_old(sums, keep, closed_ns, window_ns):
    """Forget all but the newest windows; return the time before which rows are too late."""
    starts = sorted({key[0] for key in sums})
    for start_ns in starts[: max(0, len(starts) - keep)]:
        closed_ns = start_ns + window_ns
    for key in [key for key in sums if key[0] < closed_ns]:
        del sums[key]
    return closed_ns
