"""Column types and the schema of one table.

A schema only grows: columns are appended in order of creation and never change their type.
The series key is the tags in order of creation; what a user sees (`SELECT *`, files,
information_schema) is sorted by column name.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum

import pyarrow as pa

__all__ = ["TIME", "Column", "ColumnType", "TableSchema"]

TIME = "time"
_COLUMN_TYPE_KEY = b"iox::column::type"


class ColumnType(Enum):
    """What a column holds; the value is the name that clients and error messages use."""

    TAG = "iox::column_type::tag"
    FLOAT = "iox::column_type::field::float"
    INTEGER = "iox::column_type::field::integer"
    UINTEGER = "iox::column_type::field::uinteger"
    STRING = "iox::column_type::field::string"
    BOOLEAN = "iox::column_type::field::boolean"
    TIME = "iox::column_type::timestamp"

    @property
    def arrow(self) -> pa.DataType:
        """The Arrow type of the column's values."""
        return _ARROW_TYPES[self]


_ARROW_TYPES = {
    ColumnType.TAG: pa.dictionary(pa.int32(), pa.utf8()),
    ColumnType.FLOAT: pa.float64(),
    ColumnType.INTEGER: pa.int64(),
    ColumnType.UINTEGER: pa.uint64(),
    ColumnType.STRING: pa.utf8(),
    ColumnType.BOOLEAN: pa.bool_(),
    ColumnType.TIME: pa.timestamp("ns"),
}


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table."""

    name: str
    type: ColumnType


@dataclass(frozen=True, slots=True)
class TableSchema:
    """The columns of a table in order of creation; `time` is always there and not listed."""

    columns: tuple[Column, ...] = ()
    _types: dict[str, ColumnType] = field(init=False, repr=False, compare=False)
    _arrow: pa.Schema = field(init=False, repr=False, compare=False, default=None)

    def __post_init__(self) -> None:
        """Index the types by name."""
        types = {column.name: column.type for column in self.columns}
        object.__setattr__(self, "_types", {**types, TIME: ColumnType.TIME})

    def type_of(self, name: str) -> ColumnType | None:
        """Return the type of a column, `time` included, or None when there is no such column."""
        return self._types.get(name)

    @property
    def tags(self) -> tuple[str, ...]:
        """The series key: tag names in order of creation."""
        return tuple(c.name for c in self.columns if c.type is ColumnType.TAG)

    def with_columns(self, new: Iterable[Column]) -> TableSchema:
        """Return the schema grown by new columns, which must not exist yet."""
        return TableSchema(self.columns + tuple(new))

    @property
    def arrow(self) -> pa.Schema:
        """The schema as users see it: sorted by name, each field with its role as metadata."""
        if self._arrow is None:  # each query asks; two threads may build the same at once
            columns = sorted((*self.columns, Column(TIME, ColumnType.TIME)), key=_byte_order)
            arrow = pa.schema([_arrow_field(column) for column in columns])
            object.__setattr__(self, "_arrow", arrow)
        return self._arrow


def _byte_order(column: Column) -> bytes:
    return column.name.encode()


def _arrow_field(column: Column) -> pa.Field:
    return pa.field(
        column.name,
        column.type.arrow,
        nullable=column.type is not ColumnType.TIME,
        metadata={_COLUMN_TYPE_KEY: column.type.value.encode()},
    )
