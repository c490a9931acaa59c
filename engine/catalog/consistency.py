"""What every change to a catalog has to fit; a change that does not comes from nobody of ours.

Pure; may be called from any thread.
"""

from __future__ import annotations

from engine.catalog.state import Catalog, Database
from engine.errors import DatabaseNotFound, InconsistentChange

__all__ = ["free_id", "live_database", "require"]


def free_id(catalog: Catalog, wanted_id: int) -> None:
    """Refuse an id that has been used before."""
    require(wanted_id >= catalog.next_id, f"id {wanted_id} has been used before")


def require(is_fulfilled: bool, complaint: str) -> None:  # noqa: FBT001 - reads as assert
    """Refuse a change that does not fit.

    Raises:
        InconsistentChange: with the complaint.
    """
    if not is_fulfilled:
        raise InconsistentChange(complaint)


def live_database(catalog: Catalog, database_id: int) -> Database:
    """Return a database by id that is not in the trash.

    Raises:
        InconsistentChange: there is none.
    """
    try:
        database = catalog.database_by_id(database_id)
    except DatabaseNotFound:
        raise InconsistentChange(f"no database has id {database_id}") from None
    require(database_id not in catalog.trash, f"database {database.name!r} was deleted")
    return database
