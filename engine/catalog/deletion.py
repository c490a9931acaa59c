"""Decisions about deletion: into the trash under a new name, and out of it for good.

A deleted database or table is renamed `<name>-<UTC time>`, so that its old name is free at once,
and removed for good when its time has come. Deleting it again by its new name changes that time.
Pure; may be called from any thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from typing import assert_never

from engine.catalog.change import (
    Change,
    Decide,
    DeleteTrigger,
    PurgeDatabase,
    PurgeTable,
    TrashDatabase,
    TrashTable,
)
from engine.catalog.state import Catalog, Database, Table, Trashed
from engine.errors import AlreadyDeleted, InternalDatabase, InvalidParameter, NotFound
from engine.model.names import INTERNAL_DATABASE

__all__ = [
    "NOW",
    "After",
    "At",
    "HardDelete",
    "Never",
    "delete_database",
    "delete_table",
    "parse_hard_delete",
    "purge_due",
]

_SECOND_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Never:
    """It stays in the trash."""


@dataclass(frozen=True, slots=True)
class After:
    """It is removed some time after its deletion; 0 ns: at once."""

    delay_ns: int


@dataclass(frozen=True, slots=True)
class At:
    """It is removed at a time, UTC nanoseconds; at once when that has passed."""

    time_ns: int


HardDelete = Never | After | At
NOW = After(0)


def parse_hard_delete(text: str, default: HardDelete) -> HardDelete:
    """Read when to remove: `never`, `now`, `default` or a time as in RFC 3339.

    Raises:
        InvalidParameter: it is none of these.
    """
    named: dict[str, HardDelete] = {"never": Never(), "now": NOW, "default": default}
    if text in named:
        return named[text]
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise InvalidParameter(
            f"invalid hard delete time '{text}': must be 'never', 'now', 'default' or a time "
            "as 2025-12-31T00:00:00Z"
        )
    passed = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return At((passed.days * 86_400 + passed.seconds) * _SECOND_NS + passed.microseconds * 1000)


def delete_database(name: str, now_ns: int, hard_delete: HardDelete) -> Decide:
    """Decide to delete a database and its triggers, or when one in the trash is removed.

    Raises (the decision):
        InternalDatabase; NotFound; AlreadyDeleted: it is in the trash, to be removed just then.
    """

    def decide(catalog: Catalog) -> Sequence[Change]:
        if name == INTERNAL_DATABASE:
            raise InternalDatabase("delete")
        database = catalog.databases.get(name)
        if database is None:
            return [_put_off(_trashed_databases(catalog), name, now_ns, hard_delete)]
        triggers = [DeleteTrigger(trigger.id) for trigger in catalog.triggers_of(database.id)]
        new_name = _new_name(name, now_ns, lambda other: _is_database_name(catalog, other))
        time_ns = _time_ns(hard_delete, now_ns)
        return [*triggers, TrashDatabase(database.id, new_name, name, time_ns)]

    return decide


def delete_table(
    database_name: str, table_name: str, now_ns: int, hard_delete: HardDelete
) -> Decide:
    """Decide to delete a table of a database, or when one in the trash is removed.

    Triggers that name it stay; they wait until there is a table of that name again.

    Raises (the decision):
        InternalDatabase; NotFound for database or table; AlreadyDeleted: the table is in the
        trash, to be removed just then, or the database is.
    """

    def decide(catalog: Catalog) -> Sequence[Change]:
        if database_name == INTERNAL_DATABASE:
            raise InternalDatabase("delete")
        database = catalog.databases.get(database_name)
        if database is None:
            raise _missing(_trashed_databases(catalog), database_name)
        table = database.tables.get(table_name)
        if table is None:
            trashed = _trashed_tables(catalog, database)
            return [_put_off(trashed, table_name, now_ns, hard_delete)]
        new_name = _new_name(
            table_name, now_ns, lambda other: _is_table_name(catalog, database, other)
        )
        return [TrashTable(table.id, new_name, table_name, _time_ns(hard_delete, now_ns))]

    return decide


def purge_due(now_ns: int) -> Decide:
    """Decide to remove for good what is due in the trash."""

    def decide(catalog: Catalog) -> Sequence[Change]:
        due = [t for t in catalog.trash.values() if _is_due(t.hard_delete_ns, now_ns)]
        databases = {t.object.id for t in due if isinstance(t.object, Database)}
        tables = [
            t.object.id
            for t in due
            if isinstance(t.object, Table) and t.database_id not in databases
        ]
        return [*map(PurgeDatabase, sorted(databases)), *map(PurgeTable, tables)]

    return decide


def _put_off(trashed: Sequence[Trashed], name: str, now_ns: int, hard_delete: HardDelete) -> Change:
    """Return the change of the time at which something in the trash is removed."""
    found = next((item for item in trashed if item.name == name), None)
    if found is None:
        raise _missing(trashed, name)
    if _is_same(found.hard_delete_ns, hard_delete, now_ns):
        raise AlreadyDeleted(name)
    kind = TrashDatabase if isinstance(found.object, Database) else TrashTable
    return kind(found.object.id, name, found.original, _time_ns(hard_delete, now_ns))


def _missing(trashed: Sequence[Trashed], name: str) -> AlreadyDeleted | NotFound:
    is_deleted = any(name in (item.name, item.original) for item in trashed)
    return AlreadyDeleted(name) if is_deleted else NotFound(name)


def _is_same(known_ns: int | None, hard_delete: HardDelete, now_ns: int) -> bool:
    """Whether a deletion asks for no more than is planned already."""
    match hard_delete:
        case Never():
            return known_ns is None
        case After(delay_ns):
            return _is_due(known_ns, now_ns) or (known_ns is not None and delay_ns > 0)
        case At(time_ns):
            is_due = time_ns <= now_ns and _is_due(known_ns, now_ns)
            return is_due or known_ns == time_ns
        case _:
            assert_never(hard_delete)


def _is_due(known_ns: int | None, now_ns: int) -> bool:
    return known_ns is not None and known_ns <= now_ns


def _time_ns(hard_delete: HardDelete, now_ns: int) -> int | None:
    match hard_delete:
        case Never():
            return None
        case After(delay_ns):
            return now_ns + delay_ns
        case At(time_ns):
            return max(time_ns, now_ns)
        case _:
            assert_never(hard_delete)


def _new_name(name: str, now_ns: int, is_taken: Callable[[str], bool]) -> str:
    stamp = datetime.fromtimestamp(now_ns // _SECOND_NS, UTC).strftime("%Y%m%dT%H%M%S")
    return next(new for new in _candidates(f"{name}-{stamp}") if not is_taken(new))


def _candidates(name: str) -> Iterator[str]:
    yield name
    yield from (f"{name}-{number}" for number in count(2))


def _is_database_name(catalog: Catalog, name: str) -> bool:
    return name in catalog.databases or catalog.trashed_named(name) is not None


def _is_table_name(catalog: Catalog, database: Database, name: str) -> bool:
    return name in database.tables or catalog.trashed_named(name, database.id) is not None


def _trashed_databases(catalog: Catalog) -> list[Trashed]:
    return [item for item in catalog.trash.values() if isinstance(item.object, Database)]


def _trashed_tables(catalog: Catalog, database: Database) -> list[Trashed]:
    trashed = (item for item in catalog.trash.values() if isinstance(item.object, Table))
    return [item for item in trashed if item.database_id == database.id]
