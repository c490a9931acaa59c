"""A query's result as bytes: JSON, JSON lines, CSV, a table for people, Parquet.

Large results are written in parts of a bounded size, each column by column.

Pure; may be called from any thread.

Source: "Query data using the v3 API" of InfluxDB 3 Core, and arrow-rs for the details.
"""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from engine.errors import QueryUnsupported
from engine.query.pretty import frame
from engine.query.render import Style, json_objects, rendered

__all__ = ["to_csv", "to_json", "to_jsonl", "to_parquet", "to_pretty"]

_PART_ROWS = 16_384
_PART_BYTES = 32 * 2**20  # text of a part stays far below the 2 GiB of an Arrow string array


def to_json(table: pa.Table) -> bytes:
    """Write an array of objects; null members are left out."""
    parts = [_lines(json_objects(part.schema.names, part.columns), ",") for part in _parts(table)]
    return b"[" + b",".join(parts) + b"]"


def to_jsonl(table: pa.Table) -> bytes:
    """Write an object a line; an empty result is no line."""
    parts = [_lines(json_objects(part.schema.names, part.columns), "\n") for part in _parts(table)]
    return b"".join(part + b"\n" for part in parts)


def to_csv(table: pa.Table) -> bytes:
    """Write a head and a line a row; an empty result is empty."""
    if table.num_rows == 0:
        return b""
    head = ",".join(_csv_quoted(pa.array(table.schema.names, pa.utf8())).to_pylist())
    parts = [_lines(_csv_rows(part), "\n") for part in _parts(table)]
    return b"".join(part + b"\n" for part in [head.encode(), *parts])


def to_pretty(table: pa.Table) -> bytes:
    """Write a table in ASCII; an empty result is an empty frame."""
    if table.num_rows == 0:
        return b"++\n++"
    columns: list[list[str]] = [[] for _ in table.schema.names]
    for part in _parts(table):
        for texts, array in zip(columns, part.columns, strict=True):
            texts += rendered(array, Style.PRETTY).fill_null("").to_pylist()
    return frame(table.schema.names, columns).encode()


def to_parquet(table: pa.Table) -> bytes:
    """Write one Parquet file; an empty result is empty.

    Raises:
        QueryUnsupported: a column's type does not exist in Parquet.
    """
    if table.num_rows == 0:
        return b""
    sink = pa.BufferOutputStream()
    try:
        pq.write_table(table, sink, compression="zstd", compression_level=1)
    except pa.ArrowException as error:
        raise QueryUnsupported(f"the result cannot be written as Parquet: {error}") from error
    return bytes(sink.getvalue().to_pybytes())


def _parts(table: pa.Table) -> Iterator[pa.RecordBatch]:
    """Cut a table so that a part has neither too many rows nor too many bytes."""
    fitting = table.num_rows * _PART_BYTES // max(table.nbytes, 1)
    for part in table.to_batches(max_chunksize=max(1, min(_PART_ROWS, fitting))):
        if part.num_rows:
            yield part


def _lines(rows: pa.Array, separator: str) -> bytes:
    whole = pa.ListArray.from_arrays(pa.array([0, len(rows)], pa.int32()), rows)
    return bytes(pc.binary_join(whole, separator)[0].as_buffer().to_pybytes())


def _csv_rows(part: pa.RecordBatch) -> pa.Array:
    cells = [_csv_cells(column) for column in part.columns]
    if len(cells) == 1:  # an empty line would be no row
        return pc.if_else(pc.equal(cells[0], ""), '""', cells[0])
    return pc.binary_join_element_wise(*cells, ",")


def _csv_cells(column: pa.Array) -> pa.Array:
    text = rendered(column, Style.CSV).fill_null("")
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    return text if pa.types.is_primitive(kind) else _csv_quoted(text)


def _csv_quoted(text: pa.Array) -> pa.Array:
    needs_quotes = pc.match_substring_regex(text, r'[",\r\n]')
    if not pc.any(needs_quotes).as_py():
        return text
    doubled = pc.replace_substring(text, '"', '""')
    quoted = pc.binary_join_element_wise('"', doubled, '"', "")
    return pc.if_else(needs_quotes, quoted, text)
