"""What the edge needs from below, as it calls it, and who the server is.

The futures come from threads of the services; nothing here may block the event loop, except what
is marked as blocking, which the edge calls in the loop's default executor.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Protocol

import pyarrow as pa

from engine.catalog.change import Decide
from engine.catalog.commands import HardDelete, NewTrigger
from engine.catalog.state import Catalog
from engine.clock import Clock, SystemClock
from engine.environments.installation import Wanted
from engine.environments.making import Prepared
from engine.http.auth import Authorizer, OpenAccess
from engine.http.formats import Format
from engine.http.limits import EdgeLimits
from engine.ingest.internal import DeadLetter
from engine.ingest.writer import WriteReport, WriteRequest
from engine.model.dryrun import DryRun, DryRunReport
from engine.model.event import PluginResponse, RequestEvent
from engine.model.grants import Grants
from engine.model.limits import Limits
from engine.model.lock import EnvironmentChange
from engine.plugins.upload import UploadedFile
from engine.triggers.description import Description

__all__ = [
    "BackupParts",
    "CatalogCommits",
    "Definitions",
    "DryRunner",
    "GivenUpEvents",
    "HttpServices",
    "Identity",
    "MakesBackups",
    "PluginRequests",
    "PluginUploads",
    "Provisions",
    "Queries",
    "Renderer",
    "SqlValue",
    "Writes",
]

SqlValue = None | bool | int | float | str
Renderer = Callable[[Format, pa.Table], bytes]


class CatalogCommits(Protocol):
    """The catalog and the way to change it."""

    @property
    def catalog(self) -> Catalog:
        """The newest catalog; immutable."""
        ...

    def update(self, decide: Decide) -> Catalog:
        """Commit what is decided on the newest catalog; blocks on the disk."""
        ...


class Writes(Protocol):
    """Takes line protocol."""

    def submit(self, request: WriteRequest) -> Future[WriteReport]:
        """Queue a write; raises Busy, HotBufferFull or Stopping at once."""
        ...


class Queries(Protocol):
    """Runs SQL."""

    def submit(
        self, database: str, sql: str, params: Mapping[str, SqlValue] | None
    ) -> Future[pa.Table]:
        """Queue a query; raises Busy at once."""
        ...


class Definitions(Protocol):
    """Creates and changes triggers; every method blocks on files."""

    def check(self, new: NewTrigger) -> None:
        """Refuse what the server gives to no trigger."""
        ...

    def create(self, new: NewTrigger, prepared: Prepared | None) -> object:
        """Create a trigger, which runs with what was prepared for it."""
        ...

    def check_confines(self, grants: Grants | None, limits: Limits | None) -> None:
        """Refuse what the server lets no trigger reach or use."""
        ...

    def confine(
        self, database: str, name: str, grants: Grants | None, limits: Limits | None
    ) -> object:
        """Change what a trigger's plugin may reach and use; None is kept."""
        ...

    def enable(self, database: str, name: str) -> object:
        """Let a trigger run."""
        ...

    def disable(self, database: str, name: str) -> object:
        """Let a trigger rest."""
        ...

    def delete(self, database: str, name: str, *, force: bool) -> object:
        """Delete a trigger."""
        ...

    def delete_database(self, name: str, hard_delete: HardDelete) -> object:
        """Delete a database and its triggers."""
        ...


class PluginRequests(Protocol):
    """Hands requests to the plugins that serve them."""

    def origins(self, path: str) -> tuple[str, ...] | None:
        """Return the origins whose pages may read the answers at a path; None: no such path."""
        ...

    def submit(self, path: str, event: RequestEvent) -> Future[PluginResponse]:
        """Queue a request; raises UnknownEndpoint or Busy at once."""
        ...


class DryRunner(Protocol):
    """Runs plugins without storing anything."""

    def submit(self, run: DryRun) -> Future[DryRunReport]:
        """Start a dry run; raises Busy or Stopping at once."""
        ...


class GivenUpEvents(Protocol):
    """Knows the dead letters."""

    def letters(self, database: str, *, with_closed: bool = False) -> tuple[DeadLetter, ...]:
        """Return the letters of a database, without their events."""
        ...

    def find(self, database: str, id_: str) -> DeadLetter:
        """Return a letter with its event."""
        ...

    def retry(self, database: str, id_: str) -> None:
        """Hand the event of a letter to its trigger."""
        ...

    def drop(self, database: str, id_: str) -> None:
        """Close a letter; blocks on the disk."""
        ...


class BackupParts(Protocol):
    """A backup that is being sent; every method blocks on the disk."""

    @property
    def size_bytes(self) -> int:
        """The length of all pieces."""
        ...

    def next_piece(self) -> bytes | None:
        """Return the next piece; None at the end."""
        ...

    def close(self) -> None:
        """Let go of what was kept for it."""
        ...


class MakesBackups(Protocol):
    """Makes backups."""

    def begin(self, *, with_plugins: bool) -> BackupParts:
        """Take hold of this moment; raises Busy, blocks on the disk."""
        ...


class Provisions(Protocol):
    """Changes what plugins import; a future has its value when the change is in service.

    Where database and trigger may be None, both are for the environment that triggers share.
    Every method raises UserError, Busy or Stopping at once, or in its future.
    """

    def prepare(self, new: NewTrigger) -> Future[Prepared | None]:
        """Make ready what a trigger will need; None when it needs nothing."""
        ...

    def require(
        self, database: str, name: str, requirements: tuple[str, ...] | None, *, upgrade: bool
    ) -> Future[EnvironmentChange]:
        """Change what a trigger asks for, or take the newest of it; None is kept."""
        ...

    def install(self, wanted: Wanted) -> Future[EnvironmentChange]:
        """Install into the environment that triggers share."""
        ...

    def rollback(
        self, database: str | None, name: str | None, lock_id: str | None
    ) -> Future[EnvironmentChange]:
        """Go back to a lock of the history; None for the one before."""
        ...

    def repair(self, database: str | None, name: str | None) -> Future[EnvironmentChange]:
        """Build an environment anew from its lock."""
        ...

    def describe(self, database: str | None, name: str | None) -> Description:
        """Tell what there is to know about an environment; blocks on the disk."""
        ...


class PluginUploads(Protocol):
    """Takes the code of plugins; every method blocks on the disk."""

    def create_file(self, name: str, content: bytes) -> None:
        """Write a file of the plugin folder."""
        ...

    def update_file(self, trigger: str, database: str | None, content: bytes) -> None:
        """Replace the file of a trigger."""
        ...

    def update_folder(
        self, trigger: str, database: str | None, files: Sequence[UploadedFile]
    ) -> None:
        """Replace the folder of a trigger."""
        ...


@dataclass(frozen=True, slots=True)
class Identity:
    """What the server says about itself.

    Args:
        version: of the distribution.
        revision: of the source, as far as it is known.
        process_id: a UUID made at each start.
    """

    version: str
    revision: str
    process_id: str


@dataclass(frozen=True, slots=True)
class HttpServices:
    """Everything that the endpoints call.

    Args:
        backups: None when the server makes none.
        clock: tells when something was deleted.
        hard_delete_default_s: from a deletion to the removal of what was deleted.

    The others are described by their protocols.
    """

    catalog: CatalogCommits
    writer: Writes
    queries: Queries
    definitions: Definitions
    requests: PluginRequests
    sources: PluginUploads
    provisions: Provisions
    dry_runs: DryRunner
    letters: GivenUpEvents
    render: Renderer
    identity: Identity
    limits: EdgeLimits = field(default_factory=EdgeLimits)
    authorize: Authorizer = field(default_factory=OpenAccess)
    backups: MakesBackups | None = None
    clock: Clock = field(default_factory=SystemClock)
    hard_delete_default_s: float = 259_200.0
