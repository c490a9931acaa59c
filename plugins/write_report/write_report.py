"""Count what is written: one line per table and flush.

Trigger: `all_tables` or `table:<name>`.
Arguments: `target`, the table that takes the reports (default `write_reports`).
Writes: tag `table_name`, integer field `row_count`.
"""


def process_writes(influxdb3_local, table_batches, args=None):
    """Write one report for each table that has new rows."""
    target = (args or {}).get("target", "write_reports")
    for batch in table_batches:
        # Under `all_tables` the reports come back as rows; reporting them would never end.
        if batch["table_name"] == target:
            continue
        line = LineBuilder(target)
        line.tag("table_name", batch["table_name"])
        line.int64_field("row_count", len(batch["rows"]))
        influxdb3_local.write(line)
