"""Answer a request with figures about a table, as JSON.

Trigger: `request:<path>`, plugin `summary` (a folder).
Query parameters: `table` (required); `by`, a tag to group by; `last_s`, only rows of the last
seconds. Arguments of the trigger are defaults for these.
Answer: `{"table": ..., "columns": [...], "groups": [{"row_count": ..., "<column>_mean": ...}]}`,
404 for an unknown table, 400 for an unknown tag or a bad number.
"""

from .statements import Request, columns_statement, summary_statement

NUMBERS = {"Float64", "Int64", "UInt64"}


def process_request(influxdb3_local, query_parameters, request_headers, request_body, args=None):
    """Look up the columns of the table, then aggregate the numeric ones."""
    wanted = {**(args or {}), **query_parameters}
    try:
        request = Request(wanted.get("table", ""), wanted.get("by"), wanted.get("last_s"))
    except ValueError as error:
        return {"error": str(error)}, 400

    found = influxdb3_local.query(columns_statement(), {"table": request.table})
    types = {row["column_name"]: row["data_type"] for row in found}
    if not types:
        return {"error": f"there is no table {request.table}"}, 404
    if request.by is not None and request.by not in types:
        return {"error": f"{request.table} has no column {request.by}"}, 400

    columns = sorted(name for name, kind in types.items() if kind in NUMBERS)
    groups = influxdb3_local.query(summary_statement(request, columns))
    return {"table": request.table, "columns": columns, "groups": groups}
