"""Joining batches of one table whose columns differ, because a schema grows as rows come.

A column has one type for ever, so only presence differs: what a batch lacks is null. Rows as
written have their tags first, then the fields, then `time`; tags are the dictionary columns.

Pure; may be called from any thread.
"""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from engine.model.schema import TIME

__all__ = ["aligned", "joined", "tags_of", "without_empty_columns"]


def tags_of(rows: pa.RecordBatch) -> tuple[str, ...]:
    """Return the names of the tag columns."""
    return tuple(field.name for field in rows.schema if pa.types.is_dictionary(field.type))


def joined(parts: Sequence[pa.RecordBatch]) -> pa.RecordBatch:
    """Put batches one after the other.

    Args:
        parts: at least one. A single one comes back as it is.

    Returns:
        One batch with the union of the columns: tags, fields, `time`, each group in order of
        first appearance.
    """
    if len(parts) == 1:
        return parts[0]
    tables = [pa.Table.from_batches([part.replace_schema_metadata(None)]) for part in parts]
    whole = pa.concat_tables(tables, promote_options="default")
    names = sorted(whole.schema.names, key=lambda name: _rank(whole.schema.field(name)))
    arrays = [whole.column(name).combine_chunks() for name in names]
    return pa.RecordBatch.from_arrays(arrays, names=names)


def without_empty_columns(rows: pa.RecordBatch) -> pa.RecordBatch:
    """Drop the columns in which every row is null."""
    kept = [
        name
        for name, column in zip(rows.schema.names, rows.columns, strict=True)
        if column.null_count < len(column)
    ]
    return rows if len(kept) == rows.num_columns else rows.select(kept)


def aligned(rows: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """Give a batch exactly the columns of a schema; what it lacks becomes null.

    Missing columns of one type share their memory: of hundreds, few may be there.
    """
    present = set(rows.schema.names)
    missing = {field.type for field in schema if field.name not in present}
    nulls = {of: pa.nulls(rows.num_rows, of) for of in missing}
    columns = [
        rows.column(field.name) if field.name in present else nulls[field.type] for field in schema
    ]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _rank(field: pa.Field) -> int:
    if pa.types.is_dictionary(field.type):
        return 0
    return 2 if field.name == TIME else 1
