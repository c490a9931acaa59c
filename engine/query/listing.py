"""The order in which SHOW TABLES lists the schemas.

Pure; may be called from any thread.
"""

from __future__ import annotations

import pyarrow as pa

__all__ = ["in_order_of_schemas"]

_SCHEMAS = ("iox", "system", "information_schema")
_INFORMATION_SCHEMA = (
    "tables",
    "views",
    "columns",
    "df_settings",
    "schemata",
    "routines",
    "parameters",
)


def in_order_of_schemas(listing: pa.Table) -> pa.Table:
    """Sort the result of SHOW TABLES: tables of users, system tables, information_schema.

    The first two are sorted by name, the last keeps an order of its own.
    """
    schemas = listing.column("table_schema").to_pylist()
    names = listing.column("table_name").to_pylist()
    order = sorted(range(listing.num_rows), key=lambda row: _key(schemas[row], names[row]))
    return listing.take(pa.array(order, pa.int64()))


def _key(schema: str, name: str) -> tuple[int, int, bytes]:
    place = _SCHEMAS.index(schema) if schema in _SCHEMAS else len(_SCHEMAS)
    inner = _INFORMATION_SCHEMA.index(name) if name in _INFORMATION_SCHEMA else 0
    return place, inner if schema == _SCHEMAS[-1] else 0, name.encode()
