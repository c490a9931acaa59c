"""Runs one SQL statement over a snapshot, read-only, and returns an Arrow table.

The snapshot is a value and nothing else is reached for: no service, no file, no clock. The same
call therefore works in a child process. Each query has a session of its own, which costs less
than a tenth of a millisecond and lets no query see what another one left behind.

The steps: when a table is large, plan over empty tables and keep only the rows whose time the plan
asks for; plan; run, counting what comes. `COPY`, `CREATE`, `INSERT`, `SET` and their
like are refused before anything is planned.

May be called from any thread.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import pyarrow as pa
from datafusion import DataFrame, RuntimeEnvBuilder, SessionConfig, SessionContext, SQLOptions
from datafusion.catalog import Schema

from engine.errors import QueryExecutionFailed, QueryRejected, QueryTooLarge
from engine.model.schema import TIME
from engine.query.failures import planning_failure, running_failure
from engine.query.listing import in_order_of_schemas
from engine.query.pruning import rows_within, time_ranges
from engine.query.rewrite import Params, lists_tables, quoted_name

__all__ = ["Limits", "QuerySnapshot", "TableSnapshot", "execute"]

_CATALOG, _SCHEMA, _SYSTEM = "public", "iox", "system"
_MIN_I64, _MAX_I64, _MAX_U64 = -(2**63), 2**63 - 1, 2**64 - 1


@dataclass(frozen=True, slots=True)
class TableSnapshot:
    """The rows of one table.

    Args:
        schema: of all batches, as users see it.
        batches: unique points; ordered by time, within each batch and from one to the next.
    """

    schema: pa.Schema
    batches: tuple[pa.RecordBatch, ...] = ()


@dataclass(frozen=True, slots=True)
class QuerySnapshot:
    """All that a query may see.

    Args:
        database: its name.
        tables: by name; a table that the statement does not name may be left out.
        system: tables of the schema `system` by name, likewise.
    """

    database: str
    tables: Mapping[str, TableSnapshot] = field(default_factory=dict)
    system: Mapping[str, pa.Table] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Limits:
    """What one query may use.

    Args:
        max_rows: of the result.
        max_bytes: Arrow bytes of the result.
        max_memory_bytes: of sorts, joins and groups while it runs; nothing is spilled to disk.
        threads: how many partitions a large table is scanned in.
        single_thread_rows: with no more rows than this, one partition is faster.
    """

    max_rows: int = 10_000_000
    max_bytes: int = 2**30
    max_memory_bytes: int = 2**31
    threads: int = 2
    single_thread_rows: int = 131_072


def execute(snapshot: QuerySnapshot, sql: str, params: Params, limits: Limits) -> pa.Table:
    """Run one statement.

    Args:
        snapshot: the tables.
        sql: in DataFusion's spelling, see `engine.query.rewrite`.
        params: values of `$name`; integers up to 2**64 - 1.
        limits: of this query.

    Returns:
        The result, with plain names and types and no metadata.

    Raises:
        QueryRejected: it cannot be parsed or planned, or would change something.
        QueryUnsupported: DataFusion does not implement it.
        QueryTooLarge: it passes a limit.
        QueryExecutionFailed: it was planned and then failed.
    """
    bound = {name: _scalar(name, value) for name, value in params.items()}
    try:
        result = _run(_planned(snapshot, sql, bound, limits), limits)
    except BaseException as error:
        # A panic of the query engine arrives as a BaseException of its own kind.
        if type(error).__name__ != "PanicException":
            raise
        raise QueryExecutionFailed(f"the query engine failed: {error}") from error
    return in_order_of_schemas(result) if lists_tables(sql) else result


def _planned(
    snapshot: QuerySnapshot, sql: str, params: Mapping[str, object], limits: Limits
) -> DataFrame:
    if _may_be_pruned(snapshot, sql):
        snapshot = _pruned(snapshot, sql, params, limits)
    return _plan(_session(snapshot, limits), sql, params)


def _may_be_pruned(snapshot: QuerySnapshot, sql: str) -> bool:
    is_large = any(len(table.batches) > 1 for table in snapshot.tables.values())
    return is_large and TIME in sql.lower()


def _pruned(
    snapshot: QuerySnapshot, sql: str, params: Mapping[str, object], limits: Limits
) -> QuerySnapshot:
    """Plan over empty tables, which is cheap, and keep only rows of the times that are read."""
    empty = {name: TableSnapshot(table.schema) for name, table in snapshot.tables.items()}
    frame = _plan(_session(replace(snapshot, tables=empty), limits), sql, params)
    try:
        ranges = time_ranges(frame.optimized_logical_plan())
    except Exception as error:
        raise planning_failure(error) from error
    kept = dict(snapshot.tables)
    for name in kept.keys() & ranges.keys():
        kept[name] = replace(kept[name], batches=rows_within(kept[name].batches, ranges[name]))
    return replace(snapshot, tables=kept)


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


def _session(snapshot: QuerySnapshot, limits: Limits) -> SessionContext:
    rows = sum(b.num_rows for table in snapshot.tables.values() for b in table.batches)
    partitions = 1 if rows <= limits.single_thread_rows else limits.threads
    context = SessionContext(_config(partitions), _runtime(limits))
    context.catalog(_CATALOG).register_schema(_SYSTEM, Schema.memory_schema())
    for name, table in snapshot.tables.items():
        _register(context, _SCHEMA, name, _parted(table, partitions))
    for name, system_table in snapshot.system.items():
        batches = system_table.to_batches() or [_empty(system_table.schema)]
        _register(context, _SYSTEM, name, [batches])
    return context


def _register(
    context: SessionContext, schema: str, name: str, partitions: list[list[pa.RecordBatch]]
) -> None:
    # The name is parsed as SQL parses it, so it is quoted to come out as it is.
    context.register_record_batches(f"{_CATALOG}.{schema}.{quoted_name(name)}", partitions)


def _config(partitions: int) -> SessionConfig:
    return (
        SessionConfig()
        .with_default_catalog_and_schema(_CATALOG, _SCHEMA)
        .with_information_schema(True)
        .with_target_partitions(partitions)
        .set("datafusion.sql_parser.map_string_types_to_utf8view", "false")
        .set("datafusion.execution.parquet.schema_force_view_types", "false")
    )


def _runtime(limits: Limits) -> RuntimeEnvBuilder:
    pool = RuntimeEnvBuilder().with_disk_manager_disabled()
    return pool.with_greedy_memory_pool(limits.max_memory_bytes)


def _parted(table: TableSnapshot, partitions: int) -> list[list[pa.RecordBatch]]:
    batches: Sequence[pa.RecordBatch] = table.batches or (_empty(table.schema),)
    per_partition = -(-len(batches) // partitions)
    return [
        list(batches[start : start + per_partition])
        for start in range(0, len(batches), per_partition)
    ]


def _empty(schema: pa.Schema) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([pa.nulls(0, f.type) for f in schema], schema=schema)


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
