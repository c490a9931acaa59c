"""Check the lines of one table against its schema: which are accepted, and what they add.

Lines count in the order of the body: the first accepted line that has a new column defines its
type, and a rejected line leaves nothing behind. When nobody disagrees, that is decided by comparing
columns, whatever the number of lines. Otherwise the lines that touch a *doubtful* column are
decided one by one; all others are accepted. Pure; any thread may call it.

Source: InfluxDB 3 Core for the messages.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from engine.catalog.missing import RESERVED_COLUMNS
from engine.model.columns import ParsedColumn, ParsedTable
from engine.model.schema import TIME, Column, ColumnType, TableSchema

__all__ = ["CheckedTable", "SchemaLimits", "check", "refused"]

_Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class SchemaLimits:
    """How much a table may hold.

    Args:
        max_columns: tags and fields together; `time` does not count.
        max_tags: tags alone.
    """

    max_columns: int = 500
    max_tags: int = 4096


@dataclass(frozen=True, slots=True)
class CheckedTable:
    """The outcome for one table.

    Args:
        rows: the accepted lines as `TableRows.rows`, without columns that none of them has; None
            when no line was accepted.
        new_columns: what the accepted lines add to the schema, in order of creation.
        rejected: (index of the line in `ParsedLines.line_spans`, reason), in order.
        limit_hit: whether a line was rejected because of a limit.
    """

    rows: pa.RecordBatch | None
    new_columns: tuple[Column, ...]
    rejected: tuple[tuple[int, str], ...]
    limit_hit: bool


def check(table: ParsedTable, schema: TableSchema | None, limits: SchemaLimits) -> CheckedTable:
    """Decide about the lines of one table.

    Args:
        table: at least one line.
        schema: of the stored table; None when it does not exist yet.
        limits: of the schema as it would become.
    """
    stored = schema or TableSchema()
    doubtful = _doubtful(table.columns, stored, limits)
    if not doubtful:
        return CheckedTable(*_accepted(table.columns, table.time, stored), (), limit_hit=False)

    judge = _Judge(stored, limits)
    reasons = _refused_rows(doubtful, judge, has_time=schema is not None)
    rejected = tuple((int(table.lines[row]), reason) for row, reason in reasons.items())
    if len(reasons) == len(table.lines):
        return CheckedTable(None, (), rejected, judge.limit_hit)
    is_accepted = np.ones(len(table.lines), np.bool_)
    is_accepted[list(reasons)] = False
    columns, time = _filtered(table, pa.array(is_accepted))
    return CheckedTable(*_accepted(columns, time, stored), rejected, judge.limit_hit)


def refused(table: ParsedTable, reason: str) -> CheckedTable:
    """Reject all lines of a table because of a limit."""
    rejected = tuple((line, reason) for line in table.lines.tolist())
    return CheckedTable(None, (), rejected, limit_hit=True)


def _doubtful(
    columns: Sequence[ParsedColumn], schema: TableSchema, limits: SchemaLimits
) -> list[ParsedColumn]:
    """Return the columns because of which a line could be rejected."""
    new = [column for column in columns if schema.type_of(column.name) is None]
    tags = sum(column.type is ColumnType.TAG for column in new)
    may_pass_limit = (
        len(schema.columns) + len(new) > limits.max_columns
        or len(schema.tags) + tags > limits.max_tags
    )
    counts = Counter(column.name for column in new)

    def is_doubtful(column: ParsedColumn) -> bool:
        known = schema.type_of(column.name)
        if known is not None:
            return known is not column.type
        return may_pass_limit or counts[column.name] > 1 or column.name in RESERVED_COLUMNS

    return [column for column in columns if is_doubtful(column)]


class _Judge:
    """Decides line by line; keeps what accepted lines have added to the schema."""

    def __init__(self, schema: TableSchema, limits: SchemaLimits) -> None:
        self._schema = schema
        self._limits = limits
        self._added: dict[str, ColumnType] = {}
        self._columns = len(schema.columns)
        self._tags = len(schema.tags)
        self.limit_hit = False

    def refuse(self, columns: Iterable[ParsedColumn], *, has_time: bool) -> str | None:
        """Return why a line with these doubtful columns is rejected, or None and take them up."""
        added: dict[str, ColumnType] = {}
        for column in columns:
            name, got = column.name, column.type
            known = self._schema.type_of(name) or self._added.get(name) or added.get(name)
            if known is None:
                if name in RESERVED_COLUMNS:
                    return f"'{name}' is a reserved column"
                added[name] = got
                if reason := self._limit_passed(added):
                    self.limit_hit = True
                    return reason
            elif known is ColumnType.TIME and not has_time:
                return f"'{TIME}' is a reserved column"
            elif known is not got:
                return (
                    f"invalid column type for column '{name}', "
                    f"expected {known.value}, got {got.value}"
                )
        self._added.update(added)
        self._columns += len(added)
        self._tags += _count_tags(added)
        return None

    def _limit_passed(self, added: Mapping[str, ColumnType]) -> str | None:
        problem = "Update to schema would exceed number of"
        if self._columns + len(added) > self._limits.max_columns:
            return f"{problem} columns per table limit of {self._limits.max_columns} columns"
        if self._tags + _count_tags(added) > self._limits.max_tags:
            return f"{problem} tag columns per table limit of {self._limits.max_tags} columns"
        return None


def _count_tags(added: Mapping[str, ColumnType]) -> int:
    return sum(column_type is ColumnType.TAG for column_type in added.values())


def _refused_rows(
    doubtful: Sequence[ParsedColumn], judge: _Judge, *, has_time: bool
) -> dict[int, str]:
    """Return the rejected rows with their reasons; rows without a doubtful column are accepted."""
    is_present: _Flags = np.column_stack(
        [column.array.is_valid().to_numpy(zero_copy_only=False) for column in doubtful]
    )
    is_touched: _Flags = np.logical_or.reduce(is_present, axis=1)
    reasons: dict[int, str] = {}
    # A new table has its time column from the first accepted line on.
    first_accepted = -1 if has_time else _first(~is_touched)
    for row in np.flatnonzero(is_touched).tolist():
        columns = [doubtful[index] for index in np.flatnonzero(is_present[row]).tolist()]
        reason = judge.refuse(columns, has_time=row > first_accepted)
        if reason is None:
            first_accepted = min(first_accepted, row)
        else:
            reasons[row] = reason
    return reasons


def _filtered(table: ParsedTable, is_accepted: pa.Array) -> tuple[list[ParsedColumn], pa.Array]:
    """Return the columns and times of accepted rows, in the order in which they now appear."""
    found: list[tuple[bool, int, ParsedColumn]] = []
    for column in table.columns:
        array = column.array.filter(is_accepted)
        if array.null_count < len(array):
            first = _first(array.is_valid().to_numpy(zero_copy_only=False))
            is_field = column.type is not ColumnType.TAG
            found.append((is_field, first, ParsedColumn(column.name, column.type, array)))
    found.sort(key=lambda entry: entry[:2])
    return [column for _, _, column in found], table.time.filter(is_accepted)


def _accepted(
    columns: Sequence[ParsedColumn], time: pa.Array, schema: TableSchema
) -> tuple[pa.RecordBatch, tuple[Column, ...]]:
    """Return the rows and what they add to the schema."""
    rows = pa.RecordBatch.from_arrays(
        [*(column.array for column in columns), time],
        names=[*(column.name for column in columns), TIME],
    )
    new = tuple(
        Column(column.name, column.type)
        for column in columns
        if schema.type_of(column.name) is None
    )
    return rows, new


def _first(flags: _Flags) -> int:
    """Return the index of the first true flag, or the length when there is none."""
    return int(flags.argmax()) if flags.any() else len(flags)
