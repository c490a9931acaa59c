"""One body of line protocol against a catalog, without changing anything.

    text -> engine.lineprotocol -> tables and bad lines -> engine.ingest.check -> accepted rows

The writer goes on from here: it makes what the catalog lacks and logs the rows. A dry run stops
here. Pure; any thread may call it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa

from engine.catalog.missing import DEFAULT_LIMITS, table_limit_text
from engine.catalog.state import Catalog
from engine.ingest.check import CheckedTable, SchemaLimits, check, refused
from engine.lineprotocol import Precision, parse
from engine.model.columns import ParsedLines, RejectedLine

__all__ = ["Rehearsal", "check_body", "rehearse", "rejections"]


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """What a write would have come to.

    Args:
        tables: accepted rows by table, in order of first appearance.
        rejected: the bad lines, by number.
    """

    tables: Mapping[str, pa.RecordBatch]
    rejected: tuple[RejectedLine, ...]


def rehearse(catalog: Catalog, database: str, text: str, now_ns: int) -> Rehearsal:
    """Read lines as a plugin's write to a database would read them.

    Args:
        catalog: what exists.
        database: need not exist.
        text: line protocol with timestamps in nanoseconds.
        now_ns: the time of lines without a timestamp.
    """
    parsed = parse(text, Precision.NANOSECOND, now_ns)
    checked = check_body(catalog, database, parsed, SchemaLimits())
    tables = {name: table.rows for name, table in checked.items() if table.rows is not None}
    return Rehearsal(tables, rejections(parsed, checked))


def check_body(
    catalog: Catalog, database: str, parsed: ParsedLines, limits: SchemaLimits
) -> dict[str, CheckedTable]:
    """Decide about all lines that parsed.

    Args:
        catalog: what exists.
        database: where the lines go; need not exist.
        parsed: the body.
        limits: of one table.
    """
    known = catalog.databases.get(database)
    tables = known.tables if known is not None else {}
    room = DEFAULT_LIMITS.max_tables - catalog.table_count
    outcome: dict[str, CheckedTable] = {}
    for name, table in parsed.tables.items():
        if name in tables:
            outcome[name] = check(table, tables[name].schema, limits)
        elif room > 0:
            outcome[name] = check(table, None, limits)
            room -= outcome[name].rows is not None
        else:
            reason = table_limit_text(DEFAULT_LIMITS.max_tables, DEFAULT_LIMITS)
            outcome[name] = refused(table, reason)
    return outcome


def rejections(
    parsed: ParsedLines, checked: Mapping[str, CheckedTable]
) -> tuple[RejectedLine, ...]:
    """Return all bad lines of a body: those that do not parse and those that do not fit."""
    rejected = list(parsed.rejected)
    for table in checked.values():
        rejected += [parsed.rejection(line, reason) for line, reason in table.rejected]
    return tuple(sorted(rejected, key=lambda line: line.number))
