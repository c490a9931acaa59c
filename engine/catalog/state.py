"""The catalog as one immutable value: databases, their tables, and triggers.

A new value shares everything that did not change with the old one, so that a reader keeps a
consistent view for as long as it likes, and a change to one table costs two shallow copies.
Databases, tables and triggers take their ids from one counter; an id is never used again.
Pure; may be used from any thread.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from engine.errors import DatabaseNotFound, NotFound
from engine.model.names import INTERNAL_DATABASE
from engine.model.schema import TableSchema
from engine.model.trigger import RequestSpec, Trigger

__all__ = ["INTERNAL_DATABASE_ID", "Catalog", "Database", "Table"]

INTERNAL_DATABASE_ID = 0


@dataclass(frozen=True, slots=True)
class Table:
    """A table of a database."""

    id: int
    database_id: int
    name: str
    schema: TableSchema


@dataclass(frozen=True, slots=True)
class Database:
    """A database.

    Args:
        id: catalog id.
        name: unique.
        retention_ns: how long rows are kept; None for ever.
        tables: by name.
    """

    id: int
    name: str
    retention_ns: int | None = None
    tables: Mapping[str, Table] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Index:
    """Ways to what the catalog holds.

    Args:
        databases: names of databases by id.
        tables: (database, table) names by table id.
        triggers: by database id, then by name.
        requests: ids of triggers by request path.
    """

    databases: Mapping[int, str] = field(default_factory=dict)
    tables: Mapping[int, tuple[str, str]] = field(default_factory=dict)
    triggers: Mapping[int, Mapping[str, Trigger]] = field(default_factory=dict)
    requests: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Catalog:
    """Everything that is defined, as of one commit.

    Build the first with `Catalog.empty` and others by `engine.catalog.change.apply`; the `with_`
    methods do not check what they are given.

    Args:
        uuid: made at the first start, the identity of the whole installation.
        number: number of the last commit; 0 for none.
        databases: by name; `_internal` is always there.
        triggers: by id.
        next_id: the id that the next object takes.
    """

    uuid: str
    number: int
    databases: Mapping[str, Database]
    triggers: Mapping[int, Trigger]
    next_id: int
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
        """The number of tables of all databases."""
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
        """Return a database by id.

        Raises:
            DatabaseNotFound: there is none.
        """
        name = self._index.databases.get(database_id)
        if name is None:
            raise DatabaseNotFound(f"id {database_id}")
        return self.databases[name]

    def table_by_id(self, table_id: int) -> Table | None:
        """Return a table by id, or None."""
        names = self._index.tables.get(table_id)
        return None if names is None else self.databases[names[0]].tables[names[1]]

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
        """Return the catalog with a table of a database added or replaced."""
        grown = replace(database, tables={**database.tables, table.name: table})
        index = self._index
        if table.id not in index.tables:
            place = (database.name, table.name)
            index = replace(index, tables={**index.tables, table.id: place})
        databases = {**self.databases, database.name: grown}
        return replace(self, databases=databases, next_id=self._after(table.id), _index=index)

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
