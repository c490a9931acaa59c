"""What a query may see, as values: tables in memory and in files, and the limits of one query.

A snapshot can be pickled, so that a query may run in another process of the machine.
Any thread.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pyarrow as pa

from engine.model.file import ParquetFile

__all__ = ["Limits", "QuerySnapshot", "SystemView", "TableSnapshot"]


@dataclass(frozen=True, slots=True)
class TableSnapshot:
    """The rows of one table: those in memory, which are newer, and those in files.

    Args:
        schema: of all batches, as users see it; files may lack columns of it.
        batches: unique points; ordered by time, within each batch and from one to the next, and
            disjoint in time.
        files: a point may be in several of them and in memory.
        root: the folder that the paths of the files are below.
        oldest_ns: rows before this time are not seen; None for all.
    """

    schema: pa.Schema
    batches: tuple[pa.RecordBatch, ...] = ()
    files: tuple[ParquetFile, ...] = ()
    root: str = ""
    oldest_ns: int | None = None


@dataclass(frozen=True, slots=True)
class SystemView:
    """A system table that shows some columns of a stored table, tags as plain text.

    Args:
        stored: the rows.
        columns: name shown by name stored, in the order in which they are shown.
        database: rows with another value in the column `database` are left out; None for all.
    """

    stored: TableSnapshot
    columns: Mapping[str, str]
    database: str | None = None

    @property
    def schema(self) -> pa.Schema:
        """The columns as they are shown."""
        stored = self.stored.schema
        columns = self.columns.items()
        return pa.schema([(name, _plain(stored.field(source).type)) for name, source in columns])


@dataclass(frozen=True, slots=True)
class QuerySnapshot:
    """All that a query may see.

    Args:
        database: its name.
        tables: by name; a table that the statement does not name may be left out.
        system: tables of the schema `system` by name, likewise.
    """

    database: str
    tables: Mapping[str, TableSnapshot] = field(default_factory=dict)
    system: Mapping[str, pa.Table | SystemView] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Limits:
    """What one query may use.

    Args:
        max_rows: of the result.
        max_bytes: Arrow bytes of the result.
        max_memory_bytes: of sorts, joins and groups while it runs; nothing is spilled to disk.
        max_merged_bytes: of the rows that must be merged because several files, or a file and
            the memory, have rows of the same times.
        threads: how many partitions a large table is scanned in.
        single_thread_rows: with no more rows than this, one partition is faster.
    """

    max_rows: int = 10_000_000
    max_bytes: int = 2**30
    max_memory_bytes: int = 2**31
    max_merged_bytes: int = 2**30
    threads: int = 2
    single_thread_rows: int = 131_072


def _plain(of: pa.DataType) -> pa.DataType:
    return of.value_type if pa.types.is_dictionary(of) else of
