"""Leaving out rows whose time no part of a query asks for.

The bounds are read from DataFusion's optimised plan, where `now()` is a value, casts are done and
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

__all__ = ["TimeRange", "rows_within", "time_ranges"]

_MIN, _MAX = -(2**63), 2**63 - 1
_NANOSECONDS = re.compile(r"TimestampNanosecond\((-?\d+), None\)")
_MIRRORED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "=": "="}


@dataclass(frozen=True, slots=True)
class TimeRange:
    """Times from `low_ns` to `high_ns`, both included."""

    low_ns: int = _MIN
    high_ns: int = _MAX

    @property
    def is_bounded(self) -> bool:
        """Whether anything lies outside."""
        return self.low_ns > _MIN or self.high_ns < _MAX

    def __and__(self, other: TimeRange) -> TimeRange:
        return TimeRange(max(self.low_ns, other.low_ns), min(self.high_ns, other.high_ns))

    def hull(self, other: TimeRange) -> TimeRange:
        """Return the smallest range that holds both."""
        return TimeRange(min(self.low_ns, other.low_ns), max(self.high_ns, other.high_ns))


def time_ranges(plan: LogicalPlan) -> dict[str, TimeRange]:
    """Return by table which times a plan asks for; only tables for which there is a bound."""
    if "subquery" in plan.display_indent().lower():
        return {}  # a plan inside an expression is not among the inputs that we walk
    ranges: dict[str, TimeRange] = {}
    for name, found in _scans(plan, TimeRange()):
        ranges[name] = ranges[name].hull(found) if name in ranges else found
    return {name: found for name, found in ranges.items() if found.is_bounded}


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


def _scans(plan: LogicalPlan, wanted: TimeRange) -> Iterator[tuple[str, TimeRange]]:
    """Walk to the scans; `wanted` is what a filter directly above asks for."""
    node = plan.to_variant()
    if isinstance(node, TableScan):
        schema = node.fqn()[1]
        if schema in {None, "iox"}:
            yield node.table_name(), wanted
        return
    below = _range_of(node.predicate()) if isinstance(node, Filter) else TimeRange()
    for child in plan.inputs():
        yield from _scans(child, below)


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
