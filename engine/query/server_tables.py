"""The tables of `_internal` that tell about the server itself.

A server of this kind is one node. It has no tokens yet, and keeps rows in one generation; both
tables are there for clients that look at them.
Threads: any may call, the providers too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa

from engine.catalog.state import Catalog, Database

__all__ = ["GENERATIONS", "TOKENS", "Node", "node_table"]

_VIEW = pa.string_view()

# Without the column `hash`, as while nobody is asked for a token.
TOKENS = pa.schema(
    [
        pa.field("token_id", pa.uint64(), nullable=False),
        pa.field("name", _VIEW, nullable=False),
        pa.field("created_at", pa.timestamp("ms"), nullable=False),
        pa.field("description", _VIEW),
        pa.field("created_by_token_id", pa.uint64()),
        pa.field("updated_at", pa.timestamp("ms")),
        pa.field("updated_by_token_id", pa.uint64()),
        pa.field("expiry", pa.timestamp("ms")),
        pa.field("permissions", _VIEW, nullable=False),
    ]
)
GENERATIONS = pa.schema(
    [
        pa.field("level", pa.uint8(), nullable=False),
        pa.field("duration_seconds", pa.uint64(), nullable=False),
    ]
)
_NODES = pa.schema(
    [
        pa.field("node_id", _VIEW, nullable=False),
        pa.field("node_catalog_id", pa.uint32(), nullable=False),
        pa.field("instance_id", _VIEW, nullable=False),
        pa.field("mode", pa.list_(_VIEW), nullable=False),
        pa.field("core_count", pa.uint64(), nullable=False),
        pa.field("state", _VIEW, nullable=False),
        pa.field("updated_at", pa.timestamp("ms"), nullable=False),
        pa.field("cli_params", _VIEW),
    ]
)


@dataclass(frozen=True, slots=True)
class Node:
    """The server as a row.

    Args:
        name: its node id.
        instance: a UUID made at each start.
        cores: of the machine.
        started_ms: milliseconds since the epoch.
    """

    name: str
    instance: str
    cores: int
    started_ms: int


def node_table(node: Node | None) -> Callable[[Catalog, Database], pa.Table]:
    """Return the provider of `system.nodes`, which is empty without a node."""
    columns: list[list[object]] = [[] for _ in _NODES]
    if node is not None:
        values = (node.name, 0, node.instance, ["core"], node.cores)
        columns = [[value] for value in (*values, "running", node.started_ms, None)]
    arrays = [pa.array(column, field.type) for column, field in zip(columns, _NODES, strict=True)]
    table = pa.Table.from_arrays(arrays, schema=_NODES)
    return lambda _catalog, _database: table
