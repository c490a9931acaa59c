"""Leaving out rows whose time no part of a query asks for, and columns that none reads.

Both are read from DataFusion's optimised plan, where `now()` is a value, casts are done and
BETWEEN is two comparisons. A table is pruned to the union of what its scans ask for, and not at all
when one of them has no bounds or when the plan hides parts of itself in an expression.

The plan that is run afterwards filters again, so a range may be too wide but never too narrow.
(It has a `now()` of its own, a moment later: rows of that moment may be missing, as if they had
not come yet.)

May be called from any thread.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from datafusion import LogicalPlan
from datafusion.expr import BinaryExpr, Expr, Filter, TableScan

from engine.model.schema import TIME
from engine.query.time_range import TimeRange

__all__ = ["Scan", "rows_within", "scans"]

_MIN, _MAX = -(2**63), 2**63 - 1
_NANOSECONDS = re.compile(r"TimestampNanosecond\((-?\d+), None\)")
_ALIAS = "SubqueryAlias: "  # a table under another name, which is among the inputs
_MIRRORED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "=": "="}


@dataclass(frozen=True, slots=True)
class Scan:
    """What a query reads of a table.

    Args:
        times: rows of other times may be left out.
        columns: values of others may be left out; None for all.
    """

    times: TimeRange = TimeRange()  # noqa: RUF009  a value
    columns: frozenset[str] | None = None

    def hull(self, other: Scan) -> Scan:
        """Return what either reads."""
        times = self.times.hull(other.times)
        if self.columns is None or other.columns is None:
            return Scan(times)
        return Scan(times, self.columns | other.columns)


def scans(plan: LogicalPlan) -> dict[tuple[str, str], Scan] | None:
    """Return which tables a plan reads, by schema and name, and what of them.

    Returns:
        None when that cannot be seen: every table may be read, and all of it.
    """
    text = plan.display_indent().replace(_ALIAS, "")
    if "subquery" in text.lower():
        return None  # a plan inside an expression is not among the inputs that we walk
    read: dict[tuple[str, str], Scan] = {}
    try:
        for name, found in _scans(plan, TimeRange()):
            read[name] = read[name].hull(found) if name in read else found
    except Exception:  # noqa: BLE001  kinds of plans that have no form in Python
        return None
    return read


def rows_within(batches: Sequence[pa.RecordBatch], wanted: TimeRange) -> tuple[pa.RecordBatch, ...]:
    """Cut batches, each ordered by time, to a range; copies nothing."""
    kept = []
    for batch in batches:
        time = batch.column(TIME).view(pa.int64()).to_numpy()
        start = int(np.searchsorted(time, wanted.low_ns, "left"))
        end = int(np.searchsorted(time, wanted.high_ns, "right"))
        if start < end:
            kept.append(batch.slice(start, end - start))
    return tuple(kept)


def _scans(plan: LogicalPlan, wanted: TimeRange) -> Iterator[tuple[tuple[str, str], Scan]]:
    """Walk to the scans; `wanted` is what a filter directly above asks for."""
    node = plan.to_variant()
    if isinstance(node, TableScan):
        _, schema, name = node.fqn()
        yield (schema or "iox", name), Scan(wanted, _columns(node))
        return
    below = _range_of(node.predicate()) if isinstance(node, Filter) else TimeRange()
    for child in plan.inputs():
        yield from _scans(child, below)


def _columns(scan: TableScan) -> frozenset[str] | None:
    projection = scan.projection()
    if projection is None or scan.filters():
        return None
    return frozenset(name for _, name in projection)


def _range_of(predicate: Expr) -> TimeRange:
    """Return the times for which a predicate may be true."""
    if predicate.variant_name() != "BinaryExpr":
        return TimeRange()
    node: BinaryExpr = predicate.to_variant()
    left, operator, right = node.left(), node.op(), node.right()
    if operator == "AND":
        return _range_of(left) & _range_of(right)
    if operator not in _MIRRORED:
        return TimeRange()
    if left.variant_name() == "Literal":
        left, operator, right = right, _MIRRORED[operator], left
    return _compared(left, operator, right)


def _compared(column: Expr, operator: str, literal: Expr) -> TimeRange:
    if column.variant_name() != "Column" or column.to_variant().name() != TIME:
        return TimeRange()
    value = _NANOSECONDS.fullmatch(literal.canonical_name())
    if value is None:
        return TimeRange()
    low = int(value[1]) if operator in {">", ">=", "="} else _MIN
    high = int(value[1]) if operator in {"<", "<=", "="} else _MAX
    return TimeRange(low, high)
