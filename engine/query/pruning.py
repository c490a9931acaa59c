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
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

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


def scans(
    plan: LogicalPlan, time_names: Mapping[tuple[str, str], str] = MappingProxyType({})
) -> dict[tuple[str, str], Scan] | None:
    """Return which tables a plan reads, by schema and name, and what of them.

    Args:
        plan: optimised.
        time_names: what the column of times is called where it is not `time`.

    Returns:
        None when that cannot be seen: every table may be read, and all of it.
    """
    text = plan.display_indent().replace(_ALIAS, "")
    if "subquery" in text.lower():
        return None  # a plan inside an expression is not among the inputs that we walk
    read: dict[tuple[str, str], Scan] = {}
    try:
        for name, found in _scans(plan, time_names, None):
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


def _scans(
    plan: LogicalPlan, time_names: Mapping[tuple[str, str], str], predicate: Expr | None
) -> Iterator[tuple[tuple[str, str], Scan]]:
    """Walk to the scans; `predicate` is of a filter directly above."""
    node = plan.to_variant()
    if isinstance(node, TableScan):
        _, schema, name = node.fqn()
        table = (schema or "iox", name)
        column = time_names.get(table, TIME)
        times = TimeRange() if predicate is None else _range_of(predicate, column)
        yield table, Scan(times, _columns(node))
        return
    below = node.predicate() if isinstance(node, Filter) else None
    for child in plan.inputs():
        yield from _scans(child, time_names, below)


def _columns(scan: TableScan) -> frozenset[str] | None:
    projection = scan.projection()
    if projection is None or scan.filters():
        return None
    return frozenset(name for _, name in projection)


def _range_of(predicate: Expr, name: str) -> TimeRange:
    """Return the times for which a predicate may be true."""
    if predicate.variant_name() != "BinaryExpr":
        return TimeRange()
    node: BinaryExpr = predicate.to_variant()
    left, operator, right = node.left(), node.op(), node.right()
    if operator == "AND":
        return _range_of(left, name) & _range_of(right, name)
    if operator not in _MIRRORED:
        return TimeRange()
    if left.variant_name() == "Literal":
        left, operator, right = right, _MIRRORED[operator], left
    is_time = left.variant_name() == "Column" and left.to_variant().name() == name
    return _compared(operator, right) if is_time else TimeRange()


def _compared(operator: str, literal: Expr) -> TimeRange:
    value = _NANOSECONDS.fullmatch(literal.canonical_name())
    if value is None:
        return TimeRange()
    low = int(value[1]) if operator in {">", ">=", "="} else _MIN
    high = int(value[1]) if operator in {"<", "<=", "="} else _MAX
    return TimeRange(low, high)
