"""Sessions of DataFusion: one for each query, with the tables that it may read.

A table that is in memory alone is registered as it is. One with files becomes a view over the
union of its parts. A session costs less than a tenth of a millisecond and lets no query see what
another one left behind.

May be called from any thread; a session is used by one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa
from datafusion import (
    DataFrame,
    RuntimeEnvBuilder,
    SessionConfig,
    SessionContext,
    col,
    lit,
)
from datafusion.catalog import Schema

from engine.query.file_reader import FileReader
from engine.query.pruning import Scan
from engine.query.rewrite import quoted_name
from engine.query.snapshot import Limits, QuerySnapshot, SystemView, TableSnapshot

__all__ = ["SCHEMA", "SYSTEM", "Wanted", "open_session"]

_CATALOG, SCHEMA, SYSTEM = "public", "iox", "system"

Wanted = Mapping[tuple[str, str], Scan]


def open_session(
    snapshot: QuerySnapshot, limits: Limits, reader: FileReader, wanted: Wanted
) -> SessionContext:
    """Return a session that knows the tables of a snapshot.

    Args:
        snapshot: what is to be read; a table that is not stays without rows.
        limits: of the query.
        reader: reads the files.
        wanted: what of the tables is read, by schema and name; all when it is not there.

    Raises:
        DamagedFile: a file that is read is not what was written.
        QueryTooLarge: too many rows must be merged.
    """
    partitions = _partitions(snapshot, limits)
    context = SessionContext(_config(snapshot, partitions), _runtime(limits))
    context.catalog(_CATALOG).register_schema(SYSTEM, Schema.memory_schema())
    for name, table in snapshot.tables.items():
        if table.files:
            frame = reader.frame(context, table, wanted.get((SCHEMA, name), Scan()))
            _register_view(context, SCHEMA, name, frame)
        else:
            _register(context, SCHEMA, name, _parted(table, partitions))
    for name, system in snapshot.system.items():
        if isinstance(system, SystemView):
            frame = _view(context, system, reader, wanted.get((SYSTEM, name), Scan()))
            _register_view(context, SYSTEM, name, frame)
        else:
            batches = system.to_batches() or [_empty(system.schema)]
            _register(context, SYSTEM, name, [batches])
    return context


def _partitions(snapshot: QuerySnapshot, limits: Limits) -> int:
    rows = sum(_rows(table) for table in snapshot.tables.values())
    return 1 if rows <= limits.single_thread_rows else limits.threads


def _rows(table: TableSnapshot) -> int:
    in_files = sum(file.rows for file in table.files)
    return in_files + sum(int(batch.num_rows) for batch in table.batches)


def _register(
    context: SessionContext, schema: str, name: str, partitions: list[list[pa.RecordBatch]]
) -> None:
    # The name is parsed as SQL parses it, so it is quoted to come out as it is.
    context.register_record_batches(f"{_CATALOG}.{schema}.{quoted_name(name)}", partitions)


def _register_view(context: SessionContext, schema: str, name: str, frame: DataFrame) -> None:
    context.catalog(_CATALOG).schema(schema).register_table(name, frame.into_view())


def _view(context: SessionContext, view: SystemView, reader: FileReader, scan: Scan) -> DataFrame:
    stored = view.stored
    if stored.files:
        columns = {view.columns[name] for name in scan.columns or view.columns}
        read = Scan(scan.times, frozenset(columns | {"database"}))
        frame = reader.frame(context, stored, read)
    else:
        frame = context.read_batches(list(stored.batches) or [_empty(stored.schema)])
    if view.database is not None:
        frame = frame.filter(col("database") == lit(view.database))
    shown = []
    for name, source in view.columns.items():
        column = col(quoted_name(source))
        if pa.types.is_dictionary(stored.schema.field(source).type):
            column = column.cast(pa.utf8())
        shown.append(column.alias(name))
    return frame.select(*shown)


def _config(snapshot: QuerySnapshot, partitions: int) -> SessionConfig:
    config = (
        SessionConfig()
        .with_default_catalog_and_schema(_CATALOG, SCHEMA)
        .with_information_schema(True)
        .with_target_partitions(partitions)
        .set("datafusion.sql_parser.map_string_types_to_utf8view", "false")
        .set("datafusion.execution.parquet.schema_force_view_types", "false")
        .set("datafusion.execution.parquet.pushdown_filters", "true")
        # Half of the default: less memory is in use at once, and large scans are no slower.
        .with_batch_size(4096)
        # A join takes 0.0 and -0.0 for equal, the filter that it would give to files does not.
        .set("datafusion.optimizer.enable_join_dynamic_filter_pushdown", "false")
    )
    if sum(len(table.files) for table in snapshot.tables.values()) < partitions:
        return config
    # Files enough to keep all cores busy are not read in parts as well: each takes memory.
    return config.set("datafusion.optimizer.repartition_file_scans", "false")


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
