"""Rows of text, gathered per table and turned into Arrow columns once, at the end of a body.

Lines of one table are kept in *layouts*: one for each sequence of field names and types. A row of
a layout is only the texts of its values, so that reading a line costs no work per value; numbers
are made column by column. Tags are kept once per *series*, the distinct text of table and tags.

The result is dense: its size is rows times columns. Pure; one `TableLines` is used by one thread.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from typing import assert_never, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from engine.lineprotocol.grammar import FIELD_TYPES
from engine.lineprotocol.precision import Precision, to_ns, truncated
from engine.lineprotocol.template import Matcher
from engine.model.columns import ParsedColumn, ParsedTable
from engine.model.schema import ColumnType

__all__ = ["Layout", "Row", "Series", "TableLines", "build"]

Row = tuple[str | None, ...]  # the texts of a layout's values, then the timestamp or None
_Int64s = npt.NDArray[np.int64]
_FieldKey = tuple[str, int]
_TextColumns = dict[_FieldKey, list[str]]


class Layout:
    """The rows of one table that have the same fields in the same order."""

    __slots__ = ("lines", "names", "rows", "series", "types")

    def __init__(self, names: tuple[str, ...], types: tuple[int, ...]) -> None:
        self.names = names
        self.types = types
        self.rows: list[Row] = []
        self.series: list[int] = []  # for each row its number in `TableLines.series`
        self.lines: list[int] = []  # for each row the index of its line, ascending

    @property
    def fields(self) -> Iterator[_FieldKey]:
        """Name and type of each field."""
        return zip(self.names, self.types, strict=True)

    def add(self, row: Row, series: int, line: int) -> int:
        """Add one row and return how many there are."""
        self.rows.append(row)
        self.series.append(series)
        self.lines.append(line)
        return len(self.lines)


class Series:
    """One distinct text of table and tags, and where its rows go."""

    __slots__ = ("number", "table")

    def __init__(self, table: TableLines, number: int) -> None:
        self.table = table
        self.number = number


class TableLines:
    """The lines of one table in one body, as far as they were read."""

    __slots__ = ("fields", "layouts", "name", "series", "tags", "templates")

    def __init__(self, name: str) -> None:
        self.name = name
        self.tags: dict[str, None] = {}  # an ordered set, as `fields`
        self.fields: dict[_FieldKey, None] = {}
        self.series: list[Mapping[str, str]] = []
        self.layouts: dict[tuple[tuple[str, ...], tuple[int, ...]], Layout] = {}
        self.templates: list[tuple[Matcher, Layout]] = []

    def match(self, rest: str) -> tuple[Layout, Row] | None:
        """Return layout and row of a line if a template fits what follows its series' space."""
        for matcher, layout in self.templates:
            found = matcher(rest)
            if found is not None:
                return layout, found.groups()
        return None

    @property
    def width(self) -> int:
        """The number of columns so far, without the time."""
        return len(self.tags) + len(self.fields)

    def new_columns(self, tags: Iterable[str], layout: Layout) -> int:
        """Return how many columns one more line would bring."""
        count = sum(tag not in self.tags for tag in tags)
        if (layout.names, layout.types) not in self.layouts:
            count += sum(field not in self.fields for field in layout.fields)
        return count

    def add_series(self, tags: Mapping[str, str]) -> Series:
        """Take up a series that an accepted line has brought."""
        self.tags.update(dict.fromkeys(tags))
        self.series.append(tags)
        return Series(self, len(self.series) - 1)

    def layout(self, names: tuple[str, ...], types: tuple[int, ...]) -> Layout:
        """Return the layout for these fields; a new one has still to be added."""
        return self.layouts.get((names, types)) or Layout(names, types)

    def add_layout(self, layout: Layout) -> None:
        """Take up the layout of an accepted line, unless it is there already."""
        key = layout.names, layout.types
        if key not in self.layouts:
            self.layouts[key] = layout
            self.fields.update(dict.fromkeys(layout.fields))


def build(table: TableLines, precision: Precision, now_ns: int) -> ParsedTable:
    """Make the columns of a table that has at least one row.

    Args:
        table: what was read.
        precision: the unit of the timestamps, all of which are in its range.
        now_ns: for lines without a timestamp.
    """
    layouts = list(table.layouts.values())
    lines = np.array(list(chain.from_iterable(layout.lines for layout in layouts)), np.int64)
    series = np.array(list(chain.from_iterable(layout.series for layout in layouts)), np.int32)
    texts, times = _columns_of_text(layouts)
    times_ns = _times_ns(times, precision, now_ns)
    places = None
    if len(layouts) > 1:
        # The rows stand layout by layout; `order` brings them into the order of the body.
        order = np.argsort(lines)
        lines, series, times_ns = lines[order], series[order], times_ns[order]
        places = _places(layouts, lines)
    tags = _tag_columns(table, series)
    fields = _field_columns(table, texts, places, len(lines))
    time = pa.array(times_ns).cast(ColumnType.TIME.arrow)
    return ParsedTable(table.name, (*tags, *fields), time, lines)


def _columns_of_text(layouts: Iterable[Layout]) -> tuple[_TextColumns, list[str | None]]:
    """Join the layouts' columns: the texts of each field, and the timestamps."""
    texts: _TextColumns = {}
    times: list[str | None] = []
    for layout in layouts:
        *values, timestamps = zip(*layout.rows, strict=True)
        times.extend(timestamps)
        for field, column in zip(layout.fields, values, strict=True):
            texts.setdefault(field, []).extend(column)
    return texts, times


def _times_ns(times: list[str | None], precision: Precision, now_ns: int) -> _Int64s:
    if None not in times:
        return to_ns(np.array(list(map(int, cast("list[str]", times))), np.int64), precision)
    is_missing = np.array([text is None for text in times])
    times_ns = to_ns(np.array([int(text or 0) for text in times], np.int64), precision)
    times_ns[is_missing] = truncated(now_ns, precision)
    return times_ns


def _places(layouts: Iterable[Layout], lines: _Int64s) -> dict[_FieldKey, _Int64s]:
    """Return for each field the rows in which it stands, in the order of its texts."""
    rows: dict[_FieldKey, list[_Int64s]] = {}
    for layout in layouts:
        layout_rows = np.searchsorted(lines, layout.lines)
        for field in layout.fields:
            rows.setdefault(field, []).append(layout_rows)
    return {field: np.concatenate(parts) for field, parts in rows.items()}


def _tag_columns(table: TableLines, series: npt.NDArray[np.int32]) -> Iterator[ParsedColumn]:
    rows = pa.array(series)
    for tag in table.tags:
        values = pa.array([tags.get(tag) for tags in table.series], pa.utf8())
        yield ParsedColumn(tag, ColumnType.TAG, values.dictionary_encode().take(rows))


def _field_columns(
    table: TableLines,
    texts: _TextColumns,
    places: Mapping[_FieldKey, _Int64s] | None,
    rows: int,
) -> Iterator[ParsedColumn]:
    for field in table.fields:
        name, number = field
        column_type = FIELD_TYPES[number]
        array = _array(column_type, texts[field])
        if places is not None:
            array = _spread(array, places[field], rows)
        yield ParsedColumn(name, column_type, array)


def _array(column_type: ColumnType, texts: list[str]) -> pa.Array:
    match column_type:
        case ColumnType.INTEGER | ColumnType.UINTEGER:
            return pa.array(list(map(int, texts)), column_type.arrow)
        case ColumnType.FLOAT:
            return pa.array(list(map(float, texts)), pa.float64())
        case ColumnType.BOOLEAN:
            return pa.array([text[0] in "tT" for text in texts], pa.bool_())
        case ColumnType.STRING:
            return pa.array(texts, pa.utf8())
        case ColumnType.TAG | ColumnType.TIME:
            raise AssertionError(f"a field is of type {column_type}")
        case _:
            assert_never(column_type)


def _spread(array: pa.Array, places: _Int64s, rows: int) -> pa.Array:
    """Put each value into its row; rows without a value become null."""
    indices = np.zeros(rows, np.int64)
    is_absent = np.ones(rows, np.bool_)
    indices[places] = np.arange(len(places))
    is_absent[places] = False
    return array.take(pa.array(indices, mask=is_absent))
