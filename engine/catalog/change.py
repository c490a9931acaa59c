"""The changes that a catalog can undergo; `engine.catalog.fold` says what each of them does.

A commit is a sequence of changes; the catalog is the fold of all commits. A change carries
everything that it needs, ids included, so that applying it again gives the same catalog.
Pure; may be used from any thread.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from engine.catalog.state import Catalog
from engine.model.file import ParquetFile
from engine.model.grants import Grants
from engine.model.limits import Limits
from engine.model.lock import Asked, Lock, Reason
from engine.model.schema import Column
from engine.model.trigger import Trigger

__all__ = [
    "AddColumns",
    "AddFiles",
    "AddLock",
    "Change",
    "ConfineTrigger",
    "CreateDatabase",
    "CreateTable",
    "CreateTrigger",
    "Decide",
    "DeleteTrigger",
    "DisableTrigger",
    "EnableTrigger",
    "FileChange",
    "PinChange",
    "PinEnvironment",
    "PurgeDatabase",
    "PurgeTable",
    "ReplaceFiles",
    "RequireTrigger",
    "SchemaChange",
    "SetPersisted",
    "SetRetention",
    "TrashChange",
    "TrashDatabase",
    "TrashTable",
    "TriggerChange",
    "UnpinEnvironment",
]


@dataclass(frozen=True, slots=True)
class CreateDatabase:
    """A new, empty database."""

    id: int
    name: str
    retention_ns: int | None = None


@dataclass(frozen=True, slots=True)
class SetRetention:
    """Another retention period of a database; None keeps rows for ever."""

    database_id: int
    retention_ns: int | None


@dataclass(frozen=True, slots=True)
class CreateTable:
    """A new table with its first columns."""

    id: int
    database_id: int
    name: str
    columns: tuple[Column, ...]


@dataclass(frozen=True, slots=True)
class AddColumns:
    """New columns of a table, after those that it has."""

    table_id: int
    columns: tuple[Column, ...]


@dataclass(frozen=True, slots=True)
class CreateTrigger:
    """A new trigger."""

    trigger: Trigger


@dataclass(frozen=True, slots=True)
class EnableTrigger:
    """A trigger runs again and takes log entries from a new position."""

    id: int
    start: int


@dataclass(frozen=True, slots=True)
class DisableTrigger:
    """A trigger rests."""

    id: int


@dataclass(frozen=True, slots=True)
class ConfineTrigger:
    """The plugin of a trigger may reach and use something else from now on."""

    id: int
    grants: Grants
    limits: Limits


@dataclass(frozen=True, slots=True)
class RequireTrigger:
    """A trigger itself asks for other packages, beside what its plugin asks for."""

    id: int
    requirements: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DeleteTrigger:
    """A trigger is gone, with its pin; its id stays taken."""

    id: int


@dataclass(frozen=True, slots=True)
class AddLock:
    """A list of packages that the pin of the next change names first."""

    lock: Lock


@dataclass(frozen=True, slots=True)
class PinEnvironment:
    """A trigger, or what all share, runs on a lock from now on.

    What was asked for may alone be new. Locks that no pin remembers any more are gone.

    Args:
        trigger_id: of the trigger, or `SHARED`.
        asked: what the lock was made for.
        lock_id: of a lock that is there.
        at_ns: when; UTC nanoseconds.
        reason: why.
    """

    trigger_id: int
    asked: Asked
    lock_id: str
    at_ns: int
    reason: Reason


@dataclass(frozen=True, slots=True)
class UnpinEnvironment:
    """A trigger has no environment of its own any more."""

    trigger_id: int


@dataclass(frozen=True, slots=True)
class AddFiles:
    """Rows of a table have gone to files: those in log entries below `persisted_to`.

    There may be no file, when none of these rows was to be kept.
    """

    table_id: int
    files: tuple[ParquetFile, ...]
    persisted_to: int


@dataclass(frozen=True, slots=True)
class ReplaceFiles:
    """Files of a table, named by path, give way to others with their rows, or to none."""

    table_id: int
    removed: tuple[str, ...]
    added: tuple[ParquetFile, ...]


@dataclass(frozen=True, slots=True)
class SetPersisted:
    """Rows of all tables in log entries below a sequence number are in files."""

    to: int


@dataclass(frozen=True, slots=True)
class TrashDatabase:
    """A database without triggers goes to the trash, or is there and is removed another time.

    Args:
        id: of the database.
        name: that it gets; nothing else has it.
        original: the name that it had.
        hard_delete_ns: when it is to be removed for good; None for never.
    """

    id: int
    name: str
    original: str
    hard_delete_ns: int | None


@dataclass(frozen=True, slots=True)
class TrashTable:
    """A table of a live database goes to the trash; see `TrashDatabase`."""

    id: int
    name: str
    original: str
    hard_delete_ns: int | None


@dataclass(frozen=True, slots=True)
class PurgeDatabase:
    """A database in the trash is gone, with all its tables and files."""

    id: int


@dataclass(frozen=True, slots=True)
class PurgeTable:
    """A table in the trash is gone, with its files."""

    id: int


SchemaChange = CreateDatabase | SetRetention | CreateTable | AddColumns
TriggerChange = (
    CreateTrigger | EnableTrigger | DisableTrigger | ConfineTrigger | RequireTrigger | DeleteTrigger
)
PinChange = AddLock | PinEnvironment | UnpinEnvironment
FileChange = AddFiles | ReplaceFiles | SetPersisted
TrashChange = TrashDatabase | TrashTable | PurgeDatabase | PurgeTable
Change = SchemaChange | TriggerChange | PinChange | FileChange | TrashChange

Decide = Callable[[Catalog], Sequence[Change]]
