"""Columns of one table as the parser yields them, before they are checked against a schema.

One value holds the lines of one table of one request. A column is keyed by name *and* type, so
that lines which disagree about a type can all be held; the check against the schema decides which
of them are accepted. Null means: the column is absent on that line.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from engine.model.schema import ColumnType

__all__ = ["ParsedColumn", "ParsedLines", "ParsedTable", "RejectedLine"]


@dataclass(frozen=True, slots=True)
class ParsedColumn:
    """One column: an Arrow array of the table's row count, of the type's Arrow type.

    Tags are `dictionary<int32, utf8>`.
    """

    name: str
    type: ColumnType
    array: pa.Array


@dataclass(frozen=True, slots=True)
class ParsedTable:
    """The lines of one table in the order of the body.

    Args:
        name: unescaped measurement.
        columns: tags in order of first appearance, then fields likewise; (name, type) is unique.
        time: timestamp[ns], no nulls, one per row.
        lines: int64, for each row the index of its line in `ParsedLines.line_spans`.
    """

    name: str
    columns: tuple[ParsedColumn, ...]
    time: pa.Array
    lines: npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class RejectedLine:
    """A line that was not accepted.

    Args:
        number: 1-based number of the physical line in the body at which the point starts.
        text: the whole line; the HTTP edge shortens it.
        reason: the message for the user.
    """

    number: int
    text: str
    reason: str


@dataclass(frozen=True, slots=True)
class ParsedLines:
    """A parsed body.

    Args:
        body: the text that was parsed.
        tables: by name, in order of first appearance.
        rejected: lines that do not parse, by line number.
        line_spans: for each yielded line (number, start, end) as offsets into `body`.
    """

    body: str
    tables: Mapping[str, ParsedTable]
    rejected: tuple[RejectedLine, ...]
    line_spans: tuple[tuple[int, int, int], ...]

    def rejection(self, line: int, reason: str) -> RejectedLine:
        """Build the rejection of a line that parsed, from its index in `line_spans`."""
        number, start, end = self.line_spans[line]
        return RejectedLine(number, self.body[start:end], reason)
