"""Runs one SQL statement over a snapshot, read-only, and returns an Arrow table.

The snapshot is a value, and beside the files that it names nothing is reached for: no service, no
clock. The same call therefore works in a child process.

The steps: when there are files, or much in memory, plan over empty tables, and keep only the tables
that the plan reads, and the rows and files of the times that it asks for; plan; run, counting what
comes. `COPY`, `CREATE`, `INSERT`, `SET` and their like are refused before anything is planned.

May be called from any thread.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pyarrow as pa
from datafusion import DataFrame, SessionContext, SQLOptions

from engine.errors import QueryExecutionFailed, QueryRejected, QueryTooLarge
from engine.model.schema import TIME
from engine.query.contest import is_within
from engine.query.failures import planning_failure, running_failure
from engine.query.file_reader import FileReader
from engine.query.listing import in_order_of_schemas
from engine.query.pruning import Scan, rows_within, scans
from engine.query.rewrite import Params, lists_tables
from engine.query.session import SCHEMA, SYSTEM, Wanted, open_session
from engine.query.shelf import Shelf
from engine.query.snapshot import Limits, QuerySnapshot, SystemView, TableSnapshot
from engine.query.time_range import TimeRange

__all__ = ["execute"]

_OURS = (SCHEMA, SYSTEM)
_MIN_I64, _MAX_I64, _MAX_U64 = -(2**63), 2**63 - 1, 2**64 - 1


def execute(
    snapshot: QuerySnapshot,
    sql: str,
    params: Params,
    limits: Limits,
    reader: FileReader | None = None,
) -> pa.Table:
    """Run one statement.

    Args:
        snapshot: the tables.
        sql: in DataFusion's spelling, see `engine.query.rewrite`.
        params: values of `$name`; integers up to 2**64 - 1.
        limits: of this query.
        reader: of the files, for this query; without one nothing is known about them before.

    Returns:
        The result, with plain names and types and no metadata.

    Raises:
        QueryRejected: it cannot be parsed or planned, or would change something.
        QueryUnsupported: DataFusion does not implement it.
        QueryTooLarge: it passes a limit.
        QueryExecutionFailed: it was planned and then failed.
        DamagedFile: a file that it reads is not what was written.
    """
    reader = reader or FileReader(Shelf(), limits.max_merged_bytes)
    bound = {name: _scalar(name, value) for name, value in params.items()}
    try:
        result = _run(_planned(snapshot, sql, bound, limits, reader), limits)
    except (QueryExecutionFailed, QueryRejected):
        reader.check()
        raise
    except BaseException as error:
        # A panic of the query engine arrives as a BaseException of its own kind.
        if type(error).__name__ != "PanicException":
            raise
        reader.check()
        raise QueryExecutionFailed(f"the query engine failed: {error}") from error
    return in_order_of_schemas(result) if lists_tables(sql) else result


def _planned(
    snapshot: QuerySnapshot,
    sql: str,
    params: Mapping[str, object],
    limits: Limits,
    reader: FileReader,
) -> DataFrame:
    wanted: Wanted = {}
    if _has_files(snapshot) or _may_be_pruned(snapshot, sql):
        wanted = _wanted(snapshot, sql, params, limits, reader)
        snapshot = _reduced(snapshot, wanted)
    elif any(table.oldest_ns is not None for table in snapshot.tables.values()):
        snapshot = _reduced(snapshot, _everything(snapshot))
    return _plan(open_session(snapshot, limits, reader, wanted), sql, params)


def _has_files(snapshot: QuerySnapshot) -> bool:
    has_views = any(isinstance(table, SystemView) for table in snapshot.system.values())
    return has_views or any(table.files for table in snapshot.tables.values())


def _may_be_pruned(snapshot: QuerySnapshot, sql: str) -> bool:
    is_large = any(len(table.batches) > 1 for table in snapshot.tables.values())
    return is_large and TIME in sql.lower()


def _wanted(
    snapshot: QuerySnapshot,
    sql: str,
    params: Mapping[str, object],
    limits: Limits,
    reader: FileReader,
) -> Wanted:
    """Plan over empty tables, which is cheap, to see which tables are read, and what of them."""
    frame = _plan(open_session(_reduced(snapshot, {}), limits, reader, {}), sql, params)
    try:
        found = scans(frame.optimized_logical_plan(), _time_names(snapshot))
    except Exception as error:
        raise planning_failure(error) from error
    known = _everything(snapshot)
    if found is None or any(table not in known for table in found if table[0] in _OURS):
        return known
    return found


def _time_names(snapshot: QuerySnapshot) -> dict[tuple[str, str], str]:
    """Return how views call the column of times, "" when they do not show it."""
    views = {n: view for n, view in snapshot.system.items() if isinstance(view, SystemView)}
    return {
        (SYSTEM, name): next((shown for shown, of in view.columns.items() if of == TIME), "")
        for name, view in views.items()
    }


def _everything(snapshot: QuerySnapshot) -> Wanted:
    tables = {(SCHEMA, name): Scan() for name in snapshot.tables}
    return {**tables, **{(SYSTEM, name): Scan() for name in snapshot.system}}


def _reduced(snapshot: QuerySnapshot, wanted: Wanted) -> QuerySnapshot:
    """Leave out the rows and files that are not wanted; a table without any stays, empty."""
    tables = {
        name: _within(table, wanted.get((SCHEMA, name))) for name, table in snapshot.tables.items()
    }
    system: dict[str, pa.Table | SystemView] = {}
    for name, table in snapshot.system.items():
        system[name] = table
        if isinstance(table, SystemView):
            scan = wanted.get((SYSTEM, name))
            kept = replace(table, stored=_within(table.stored, scan))
            system[name] = table.schema.empty_table() if scan is None else kept
    return replace(snapshot, tables=tables, system=system)


def _within(table: TableSnapshot, scan: Scan | None) -> TableSnapshot:
    if scan is None:
        return TableSnapshot(table.schema)
    wanted = scan.times
    if table.oldest_ns is not None:
        wanted = wanted & TimeRange(low_ns=table.oldest_ns)
    if not wanted.is_bounded:
        return table
    files = tuple(file for file in table.files if is_within(file, wanted))
    return replace(table, batches=rows_within(table.batches, wanted), files=files)


def _plan(context: SessionContext, sql: str, params: Mapping[str, object]) -> DataFrame:
    read_only = (
        SQLOptions().with_allow_ddl(False).with_allow_dml(False).with_allow_statements(False)
    )
    try:
        return context.sql_with_options(sql, read_only, param_values=dict(params))
    except Exception as error:
        raise planning_failure(error) from error


def _run(frame: DataFrame, limits: Limits) -> pa.Table:
    try:
        schema = _plain(frame.schema())
        stream = frame.execute_stream()
    except Exception as error:
        raise planning_failure(error) from error
    batches: list[pa.RecordBatch] = []
    rows = size_bytes = 0
    try:
        for piece in stream:
            batch = piece.to_pyarrow()
            rows, size_bytes = rows + batch.num_rows, size_bytes + batch.nbytes
            _check_size(rows, size_bytes, limits)
            batches.append(pa.RecordBatch.from_arrays(batch.columns, schema=schema))
    except QueryTooLarge:
        raise
    except Exception as error:
        raise running_failure(error) from error
    return pa.Table.from_batches(batches, schema)


def _check_size(rows: int, size_bytes: int, limits: Limits) -> None:
    if rows > limits.max_rows:
        raise QueryTooLarge(
            f"the query's result has more than {limits.max_rows} rows; "
            "ask for a shorter time range, aggregate, or use LIMIT"
        )
    if size_bytes > limits.max_bytes:
        raise QueryTooLarge(
            f"the query's result is larger than {limits.max_bytes} bytes; "
            "ask for fewer columns or a shorter time range, aggregate, or use LIMIT"
        )


def _plain(schema: pa.Schema) -> pa.Schema:
    return pa.schema([pa.field(f.name, f.type, f.nullable) for f in schema])


def _scalar(name: str, value: object) -> pa.Scalar:
    if value is None or isinstance(value, bool | float | str):
        return pa.scalar(value)
    if not isinstance(value, int):
        raise QueryRejected(
            f"parameter ${name} must be null, a boolean, a number or a string, "
            f"not {type(value).__name__}"
        )
    if _MIN_I64 <= value <= _MAX_I64:
        return pa.scalar(value, pa.int64())
    if value <= _MAX_U64 and value > 0:
        return pa.scalar(value, pa.uint64())
    raise QueryRejected(f"parameter ${name} is outside of the 64-bit integers: {value}")
