"""What a catalog holds: databases, their tables, and what was deleted but not yet removed.

Pure; may be used from any thread.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from engine.model.file import ParquetFile
from engine.model.schema import TableSchema

__all__ = ["Database", "Table", "Trashed"]


@dataclass(frozen=True, slots=True)
class Table:
    """A table of a database.

    Args:
        id: catalog id.
        database_id: of the database that holds it.
        name: unique in the database.
        schema: its columns.
        files: its rows on disk, sorted by (order, min_ns).
        persisted_to: its rows in log entries below this sequence number are in files.
    """

    id: int
    database_id: int
    name: str
    schema: TableSchema
    files: tuple[ParquetFile, ...] = ()
    persisted_to: int = 0


@dataclass(frozen=True, slots=True)
class Database:
    """A database.

    Args:
        id: catalog id.
        name: unique.
        retention_ns: how long rows are kept; None for ever.
        tables: by name, without those in the trash.
    """

    id: int
    name: str
    retention_ns: int | None = None
    tables: Mapping[str, Table] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Trashed:
    """A database with its tables, or a table, that was deleted and is not yet removed.

    Args:
        object: what was deleted, under its new name.
        original: the name that it had.
        hard_delete_ns: when it is removed for good; None for never.
    """

    object: Database | Table
    original: str
    hard_delete_ns: int | None

    @property
    def name(self) -> str:
        """The name that it has now, which nothing else has."""
        return self.object.name

    @property
    def database_id(self) -> int:
        """The id of the database that it is, or in which it was a table."""
        return self.object.id if isinstance(self.object, Database) else self.object.database_id
