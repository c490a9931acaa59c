"""Parse a body of line protocol into Arrow columns per table.

Each line is tried against what earlier lines have taught: the text before its first space must be
a known series, and the rest must match a template of that series' table (`template.py`). All other
lines are read by the grammar (`grammar.py`), which alone decides what is right; the two cannot
disagree, and tests compare them. Accepted lines become rows (`columns.py`); a line that is
rejected leaves nothing behind. Nothing is raised for any body.

Pure; any thread may call it. It holds the GIL, about 5 us a line of ten fields.
"""

from __future__ import annotations

from collections import Counter

from engine.lineprotocol import grammar, template
from engine.lineprotocol.columns import Layout, Row, Series, TableLines, build
from engine.lineprotocol.grammar import Malformed
from engine.lineprotocol.precision import Precision, in_range
from engine.lineprotocol.split import line_end, point_start
from engine.model.columns import ParsedLines, RejectedLine

__all__ = ["LineReader", "parse"]

# A template takes about 0.7 ms to compile and saves 10 us a line, but it is kept for later bodies.
_LEARN_AFTER_LINES = 16
_MAX_TEMPLATES_PER_TABLE = 4

# Columns are dense: a value for each row, present or not. This bounds the memory of one table
# (8 bytes a cell), at over ten times what the most compact body without absent values needs.
_MAX_CELLS = 32 * 2**20
# Each column costs about 15 us, however few its rows are.
_MAX_COLUMNS = 50_000


def parse(body: str, precision: Precision, now_ns: int) -> ParsedLines:
    """Parse all lines of a body.

    Args:
        body: any text.
        precision: the unit of timestamps.
        now_ns: the time of lines without a timestamp, UTC; cut down to whole units.

    Returns:
        Tables of the lines that fit the grammar, and the rejected lines. `line_spans` counts both;
        it is empty when the body holds blank lines and comments only.
    """
    return LineReader(body, precision, now_ns).read()


class LineReader:
    """Reads one body, once.

    Args:
        body: any text.
        precision: the unit of timestamps.
        now_ns: the time of lines without a timestamp.
        learn_after: the number of like lines after which a template is made; None for never.
    """

    def __init__(
        self,
        body: str,
        precision: Precision,
        now_ns: int,
        learn_after: int | None = _LEARN_AFTER_LINES,
    ) -> None:
        self._body = body
        self._precision = precision
        self._now_ns = now_ns
        self._learn_after = learn_after
        self._physical = body.split("\n")
        self._columns = 0  # of all tables
        self._tables: dict[str, TableLines] = {}
        self._series: dict[str, Series] = {}
        self._spans: list[tuple[int, int, int]] = []
        self._rejected: list[RejectedLine] = []

    def read(self) -> ParsedLines:
        """Read the whole body."""
        physical, spans, known = self._physical, self._spans, self._series
        index = start = 0
        while index < len(physical):
            line = physical[index]
            head, _, rest = line.partition(" ")
            series = known.get(head)
            found = series and series.table.match(rest)
            if series and found:
                layout, row = found
                layout.add(row, series.number, len(spans))
                end = start + len(line)
                index += 1
                spans.append((index, start, end))
            else:
                end = line_end(self._body, start)
                self._read_exactly(start, end, index + 1)
                index += 1 + self._body.count("\n", start, end)
            start = end + 1
        tables = (build(table, self._precision, self._now_ns) for table in self._tables.values())
        return ParsedLines(
            body=self._body,
            tables={table.name: table for table in tables},
            rejected=tuple(self._rejected),
            line_spans=tuple(spans),
        )

    def _read_exactly(self, start: int, end: int, number: int) -> None:
        """Read one line by the grammar; comments may stand before its point."""
        point = point_start(self._body, start, end)
        if point == end:
            return
        skipped = self._body.count("\n", start, point)
        if skipped:
            number += skipped
            start = self._body.rfind("\n", start, point) + 1
        self._spans.append((number, start, end))
        try:
            self._read_point(point, end)
        except Malformed as error:
            rejected = RejectedLine(number, self._body[start:end], str(error))
            self._rejected.append(rejected)

    def _read_point(self, start: int, end: int) -> None:
        text = grammar.series_text(self._body, start, end)
        position = start + len(text)
        series = self._series.get(text)
        if series is not None:
            table = series.table
            tags: dict[str, str] = {}
            layout, row = self._read_rest(table, position, end)
        else:
            name, tags = grammar.plain_series(text) or grammar.read_series(self._body, start, end)
            table = self._tables.get(name) or TableLines(name)
            alike = table.match(self._body[position + 1 : end])
            layout, row = alike or self._read_rest(table, position, end)
        self._add_columns(table, tags, layout)

        # From here on nothing is raised: the line is accepted.
        self._tables[table.name] = table
        if series is None:
            series = self._series[text] = table.add_series(tags)
        table.add_layout(layout)
        if layout.add(row, series.number, len(self._spans) - 1) == self._learn_after:
            self._learn(table, layout)

    def _read_rest(self, table: TableLines, start: int, end: int) -> tuple[Layout, Row]:
        fields = grammar.read_fields(self._body, start, end)
        timestamp = grammar.read_time(self._body, fields.end, end)
        if len(set(fields.names)) < len(fields.names):
            counts = Counter(fields.names)
            name = next(name for name in fields.names if counts[name] > 1)
            raise Malformed(f"invalid line protocol - multiple instances of '{name}' field found")
        if timestamp is not None and not in_range(timestamp, self._precision):
            precision = self._precision.name.capitalize()
            raise Malformed(f"timestamp, {timestamp}, out of range for precision: {precision}")
        time = None if timestamp is None else str(timestamp)
        return table.layout(fields.names, fields.types), (*fields.texts, time)

    def _add_columns(self, table: TableLines, tags: dict[str, str], layout: Layout) -> None:
        new = table.new_columns(tags, layout)
        is_wide = table.width + new > _MAX_CELLS // len(self._physical)
        if new and (is_wide or self._columns + new > _MAX_COLUMNS):
            raise Malformed("too many different columns in one request: send fewer lines at once")
        self._columns += new

    def _learn(self, table: TableLines, layout: Layout) -> None:
        matcher = template.learn(layout.names, layout.types, self._precision)
        if matcher is not None:
            table.templates.insert(0, (matcher, layout))
            del table.templates[_MAX_TEMPLATES_PER_TABLE:]
