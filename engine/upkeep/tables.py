"""All tables of a catalog, whose rows have to be kept. Pure; any thread."""

from __future__ import annotations

from collections.abc import Iterator

from engine.catalog.state import Catalog, Database, Table

__all__ = ["tables_of"]


def tables_of(catalog: Catalog) -> Iterator[Table]:
    """Return all tables, those in the trash included."""
    for database in catalog.databases.values():
        yield from database.tables.values()
    for trashed in catalog.trash.values():
        if isinstance(trashed.object, Database):
            yield from trashed.object.tables.values()
        else:
            yield trashed.object
