"""The catalog as one immutable value: databases, their tables with their files, and triggers.

A new value shares everything that did not change with the old one, so that a reader keeps a
consistent view for as long as it likes, and a change to one table costs two shallow copies.
Databases, tables and triggers take their ids from one counter; an id is never used again.
What was deleted is in the trash until it is removed: enumerations by name do not see it, but its
rows still have a place, so it is found by id.
Pure; may be used from any thread.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

from engine.catalog.parts import Database, Table, Trashed
from engine.errors import DatabaseNotFound, NotFound
from engine.model.lock import Lock, Pin
from engine.model.names import INTERNAL_DATABASE
from engine.model.trigger import RequestSpec, Trigger

__all__ = ["INTERNAL_DATABASE_ID", "Catalog", "Database", "Table", "Trashed"]

INTERNAL_DATABASE_ID = 0
_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class _Index:
    """Ways to what the catalog holds.

    Args:
        databases: names of databases by id.
        tables: (database, table) names by table id.
        trashed_tables: by table id what in the trash holds it, a database or the table itself,
            and its name.
        triggers: by database id, then by name.
        requests: ids of triggers by request path.
    """

    databases: Mapping[int, str] = field(default_factory=dict)
    tables: Mapping[int, tuple[str, str]] = field(default_factory=dict)
    trashed_tables: Mapping[int, tuple[int, str]] = field(default_factory=dict)
    triggers: Mapping[int, Mapping[str, Trigger]] = field(default_factory=dict)
    requests: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Catalog:
    """Everything that is defined, as of one commit.

    Build the first with `Catalog.empty` and others by `engine.catalog.fold.apply`; the `with_`
    and `without_` methods do not check what they are given.

    Args:
        uuid: made at the first start, the identity of the whole installation.
        number: number of the last commit; 0 for none.
        databases: by name; `_internal` is always there.
        triggers: by id.
        next_id: the id that the next object takes.
        trash: what was deleted and is not yet removed, by id.
        persisted_to: the rows of all tables in log entries below this sequence number are in
            files; a restart reads the log from there.
        locks: lists of packages that pins name, by id.
        pins: the lock of each trigger that has one, by the trigger's id, and that of all others
            under `SHARED`.
    """

    uuid: str
    number: int
    databases: Mapping[str, Database]
    triggers: Mapping[int, Trigger]
    next_id: int
    trash: Mapping[int, Trashed] = field(default_factory=dict)
    persisted_to: int = 1
    locks: Mapping[str, Lock] = field(default_factory=dict)
    pins: Mapping[int, Pin] = field(default_factory=dict)
    _index: _Index = field(default_factory=_Index, repr=False, compare=False)

    def __repr__(self) -> str:
        """Describe the catalog in a sentence."""
        return (
            f"<Catalog {self.uuid} at commit {self.number}: {len(self.databases)} databases, "
            f"{self.table_count} tables, {len(self.triggers)} triggers>"
        )

    @classmethod
    def empty(cls, uuid: str) -> Catalog:
        """Return the catalog of a new installation, which has the internal database only."""
        bare = cls(uuid, 0, {}, {}, INTERNAL_DATABASE_ID + 1)
        return bare.with_database(Database(INTERNAL_DATABASE_ID, INTERNAL_DATABASE))

    @property
    def table_count(self) -> int:
        """The number of tables of all databases, without the trash."""
        return len(self._index.tables)

    def database(self, name: str) -> Database:
        """Return a database by name.

        Raises:
            DatabaseNotFound: there is none.
        """
        try:
            return self.databases[name]
        except KeyError:
            raise DatabaseNotFound(name) from None

    def database_by_id(self, database_id: int) -> Database:
        """Return a database by id, be it in the trash.

        Raises:
            DatabaseNotFound: there is none.
        """
        name = self._index.databases.get(database_id)
        if name is not None:
            return self.databases[name]
        trashed = self.trash.get(database_id)
        if trashed is None or isinstance(trashed.object, Table):
            raise DatabaseNotFound(f"id {database_id}")
        return trashed.object

    def table_by_id(self, table_id: int) -> Table | None:
        """Return a table by id, be it or its database in the trash, or None."""
        names = self._index.tables.get(table_id)
        if names is not None:
            return self.databases[names[0]].tables[names[1]]
        place = self._index.trashed_tables.get(table_id)
        if place is None:
            return None
        holder = self.trash[place[0]].object
        return holder.tables[place[1]] if isinstance(holder, Database) else holder

    def is_live(self, table_id: int) -> bool:
        """Tell whether a table exists and neither it nor its database was deleted."""
        return table_id in self._index.tables

    def trashed_named(self, name: str, database_id: int | None = None) -> Trashed | None:
        """Return what has a name in the trash, or None.

        Args:
            name: the new name, not the original.
            database_id: where to look for a table; None to look for a database.
        """
        for trashed in self.trash.values():
            of = trashed.object.database_id if isinstance(trashed.object, Table) else None
            if trashed.name == name and of == database_id:
                return trashed
        return None

    def trigger_named(self, database_name: str, trigger_name: str) -> Trigger:
        """Return a trigger by the name of its database and its own.

        Raises:
            DatabaseNotFound: there is no such database.
            NotFound: the database has no such trigger.
        """
        found = self._of_database(self.database(database_name).id).get(trigger_name)
        if found is None:
            raise NotFound(trigger_name)
        return found

    def trigger_by_id(self, trigger_id: int) -> Trigger:
        """Return a trigger by id.

        Raises:
            NotFound: it is gone.
        """
        found = self.triggers.get(trigger_id)
        if found is None:
            raise NotFound(f"trigger with id {trigger_id}")
        return found

    def triggers_of(self, database_id: int) -> tuple[Trigger, ...]:
        """Return the triggers of a database in order of creation, disabled ones included."""
        return tuple(self._of_database(database_id).values())

    def request_trigger(self, path: str) -> Trigger | None:
        """Return the trigger that owns a request path, be it disabled, or None."""
        trigger_id = self._index.requests.get(path)
        return None if trigger_id is None else self.triggers[trigger_id]

    def with_database(self, database: Database) -> Catalog:
        """Return the catalog with a database added, or replaced by one with the same tables."""
        index = replace(
            self._index, databases={**self._index.databases, database.id: database.name}
        )
        databases = {**self.databases, database.name: database}
        return replace(self, databases=databases, next_id=self._after(database.id), _index=index)

    def with_table(self, database: Database, table: Table) -> Catalog:
        """Return the catalog with a table of a live database added or replaced."""
        grown = replace(database, tables={**database.tables, table.name: table})
        index = self._index
        if table.id not in index.tables:
            place = (database.name, table.name)
            index = replace(index, tables={**index.tables, table.id: place})
        databases = {**self.databases, database.name: grown}
        return replace(self, databases=databases, next_id=self._after(table.id), _index=index)

    def with_changed_table(self, table: Table) -> Catalog:
        """Return the catalog with a table that it holds, be it in the trash, replaced."""
        place = self._index.trashed_tables.get(table.id)
        if place is None:
            return self.with_table(self.database_by_id(table.database_id), table)
        holder = place[0]
        trashed = self.trash[holder]
        kept: Database | Table = table
        if isinstance(trashed.object, Database):
            tables = {**trashed.object.tables, table.name: table}
            kept = replace(trashed.object, tables=tables)
        return replace(self, trash={**self.trash, holder: replace(trashed, object=kept)})

    def with_trashed_database(self, trashed: Trashed, name: str) -> Catalog:
        """Return the catalog with a database, its name given, moved to the trash."""
        databases = dict(self.databases)
        holder = trashed.object.id
        inside = {t.id: (holder, t.name) for t in databases.pop(name).tables.values()}
        index = replace(
            self._index,
            databases=_without(self._index.databases, {holder}),
            tables=_without(self._index.tables, inside.keys()),
            trashed_tables={**self._index.trashed_tables, **inside},
        )
        trash = {**self.trash, holder: trashed}
        return replace(self, databases=databases, trash=trash, _index=index)

    def with_trashed_table(self, trashed: Trashed, database: Database, name: str) -> Catalog:
        """Return the catalog with a table of a live database, its name given, in the trash."""
        tables = dict(database.tables)
        del tables[name]
        table_id = trashed.object.id
        index = replace(
            self._index,
            tables=_without(self._index.tables, {table_id}),
            trashed_tables={**self._index.trashed_tables, table_id: (table_id, trashed.name)},
        )
        databases = {**self.databases, database.name: replace(database, tables=tables)}
        trash = {**self.trash, table_id: trashed}
        return replace(self, databases=databases, trash=trash, _index=index)

    def without_trashed(self, ids: Collection[int]) -> Catalog:
        """Return the catalog without some of what is in the trash."""
        held = self._index.trashed_tables
        tables = {table_id: place for table_id, place in held.items() if place[0] not in ids}
        index = replace(self._index, trashed_tables=tables)
        return replace(self, trash=_without(self.trash, ids), _index=index)

    def with_trigger(self, trigger: Trigger) -> Catalog:
        """Return the catalog with a trigger added, or replaced by one of the same name and spec."""
        siblings = {**self._of_database(trigger.database_id), trigger.name: trigger}
        requests = self._index.requests
        if isinstance(trigger.spec, RequestSpec):
            requests = {**requests, trigger.spec.path: trigger.id}
        triggers = {**self.triggers, trigger.id: trigger}
        return self._with_triggers(trigger, triggers, siblings, requests)

    def without_trigger(self, trigger: Trigger) -> Catalog:
        """Return the catalog without a trigger that it holds."""
        siblings = dict(self._of_database(trigger.database_id))
        del siblings[trigger.name]
        requests = {path: n for path, n in self._index.requests.items() if n != trigger.id}
        triggers = {n: other for n, other in self.triggers.items() if n != trigger.id}
        return self._with_triggers(trigger, triggers, siblings, requests)

    def _with_triggers(
        self,
        trigger: Trigger,
        triggers: Mapping[int, Trigger],
        siblings: Mapping[str, Trigger],
        requests: Mapping[str, int],
    ) -> Catalog:
        by_database = {**self._index.triggers, trigger.database_id: siblings}
        index = replace(self._index, triggers=by_database, requests=requests)
        return replace(self, triggers=triggers, next_id=self._after(trigger.id), _index=index)

    def _of_database(self, database_id: int) -> Mapping[str, Trigger]:
        return self._index.triggers.get(database_id, {})

    def _after(self, taken_id: int) -> int:
        return max(self.next_id, taken_id + 1)


def _without(mapping: Mapping[int, _Value], ids: Collection[int]) -> dict[int, _Value]:
    return {key: value for key, value in mapping.items() if key not in ids}
