"""The SQL of the summary: values go in as parameters, names are quoted."""


class Request:
    """What a caller asks for.

    Raises:
        ValueError: no table is named, or `last_s` is no positive number.
    """

    def __init__(self, table, by=None, last_s=None):
        if not table:
            raise ValueError("name a table: ?table=...")
        self.table = table
        self.by = by
        self.last_s = None if last_s is None else float(last_s)
        if self.last_s is not None and not 0 < self.last_s < 1e9:
            raise ValueError("last_s is not between 0 and 1e9 seconds")


def columns_statement():
    """Return the query for the columns of the table in the parameter `table`."""
    return (
        "SELECT column_name, data_type FROM information_schema.columns "
        "WHERE table_name = $table AND table_schema = 'iox'"
    )


def summary_statement(request, columns):
    """Return the query for count, mean, minimum and maximum of some columns."""
    parts = [quoted(request.by)] if request.by else []
    parts.append("count(*) AS row_count")
    for column in columns:
        for function, suffix in (("avg", "mean"), ("min", "min"), ("max", "max")):
            parts.append(f"{function}({quoted(column)}) AS {quoted(f'{column}_{suffix}')}")
    statement = f"SELECT {', '.join(parts)} FROM {quoted(request.table)}"  # noqa: S608 - all quoted
    if request.last_s is not None:
        statement += f" WHERE time > now() - INTERVAL '{request.last_s:f} seconds'"
    if request.by:
        statement += f" GROUP BY {quoted(request.by)} ORDER BY {quoted(request.by)}"
    return statement


def quoted(name):
    """Return a name as an identifier of SQL."""
    return '"' + name.replace('"', '""') + '"'
