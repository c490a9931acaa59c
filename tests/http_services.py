"""Services for tests of the edge: a real catalog and writer, the rest in memory."""

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path

import pyarrow as pa

from engine.catalog.commands import (
    HardDelete,
    NewTrigger,
    create_trigger,
    delete_database,
    delete_trigger,
)
from engine.catalog.confining import confine_trigger
from engine.catalog.objects import LocalObjects
from engine.catalog.store import CatalogStore
from engine.clock import ManualClock
from engine.environments.installation import Wanted
from engine.errors import (
    DatabaseNotFound,
    DeadLetterNotOpen,
    NotFound,
    QueryRejected,
    UnknownEndpoint,
)
from engine.http.app import HttpServices, Identity
from engine.http.formats import Format
from engine.http.limits import EdgeLimits
from engine.ingest.internal import DeadLetter
from engine.ingest.writer import Writer, WriteReport, WriteRequest
from engine.model.dryrun import DryRun, DryRunReport
from engine.model.entry import Entry
from engine.model.event import PluginResponse, RequestEvent
from engine.model.grants import Grants
from engine.model.limits import Limits
from engine.model.lock import Asked, EnvironmentChange, Reason, Switch
from engine.plugins.upload import UploadedFile
from engine.triggers.description import Description

NOW_NS = 1_700_000_000 * 10**9  # 2023-11-14T22:13:20Z
CHANGE = EnvironmentChange(
    "b" * 16, "a" * 16, "3.12", {"pandas": "2.3.3"}, {"six": "1.17.0"}, {"numpy": ("1.26.4", "2.0")}
)

DESCRIPTION = Description(
    trigger_name="t",
    database="db",
    lock="b" * 16,
    python="3.12",
    interpreter="/usr/bin/python3.12",
    state="broken",
    reason_broken="numpy is gone",
    size_bytes=3 * 2**20,
    packages={"pandas": "2.3.3", "numpy": "2.0"},
    requirements=("pandas>=2",),
    used_by=(("db", "t"),),
    history=(
        Switch("a" * 16, 0, Reason.CREATED, Asked()),
        Switch("b" * 16, NOW_NS, Reason.UPGRADED, Asked()),
    ),
    path="/srv/environments/bbbb",
)


def settled(value: object) -> Future:
    """Return a future that has its value, or its error."""
    future: Future = Future()
    if isinstance(value, Exception):
        future.set_exception(value)
    else:
        future.set_result(value)
    return future


class MemoryCommitter:
    """A log that is a list; every entry is durable at once."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def submit(self, entry: Entry) -> Future:
        self.entries.append(entry)
        return settled(len(self.entries) - 1)


class ListedWrites:
    """The real writer, with every request kept, and an error to raise instead."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self.seen: list[WriteRequest] = []
        self.refusal: Exception | None = None

    def submit(self, request: WriteRequest) -> Future[WriteReport]:
        self.seen.append(request)
        if self.refusal is not None:
            raise self.refusal
        return self._writer.submit(request)


class ListedQueries:
    """Knows the answers to some queries."""

    def __init__(self) -> None:
        self.answers: dict[str, pa.Table | Exception] = {}
        self.any_answer: pa.Table | None = None  # unless one for the very query is there
        self.databases = {"db"}
        self.seen: list[tuple[str, str, Mapping | None]] = []

    def submit(self, database: str, sql: str, params: Mapping | None) -> Future[pa.Table]:
        self.seen.append((database, sql, params))
        if database not in self.databases:
            return settled(DatabaseNotFound(database))
        unknown = (
            QueryRejected(f"cannot plan: {sql}") if self.any_answer is None else self.any_answer
        )
        return settled(self.answers.get(sql, unknown))


class CatalogDefinitions:
    """Triggers that stand in the catalog and never run."""

    def __init__(self, store: CatalogStore) -> None:
        self._store = store
        self.switched: list[tuple[str, str, str]] = []
        self.prepared: object = None
        self.inadmissible: Exception | None = None
        self.refusal: Exception | None = None

    def check(self, new: NewTrigger) -> None:
        if self.inadmissible is not None:
            raise self.inadmissible

    def create(self, new: NewTrigger, prepared: object) -> None:
        self.prepared = prepared
        if self.refusal is not None:
            raise self.refusal
        self._store.update(create_trigger(new, start=0, now_ns=0))

    def check_confines(self, grants: Grants | None, limits: Limits | None) -> None:
        if self.inadmissible is not None:
            raise self.inadmissible

    def confine(
        self, database: str, name: str, grants: Grants | None, limits: Limits | None
    ) -> None:
        self._store.update(confine_trigger(database, name, grants, limits))

    def enable(self, database: str, name: str) -> None:
        self._store.catalog.trigger_named(database, name)
        self.switched.append(("enable", database, name))

    def disable(self, database: str, name: str) -> None:
        self._store.catalog.trigger_named(database, name)
        self.switched.append(("disable", database, name))

    def delete(self, database: str, name: str, *, force: bool) -> None:
        self._store.update(delete_trigger(database, name, force=force))

    def delete_database(self, name: str, hard_delete: HardDelete) -> None:
        self._store.update(delete_database(name, NOW_NS, hard_delete))


class ListedRequests:
    """Plugins that are answers by path."""

    def __init__(self) -> None:
        self.answers: dict[str, PluginResponse | Exception] = {}
        self.waiting: dict[str, Future[PluginResponse]] = {}
        self.seen: list[tuple[str, RequestEvent]] = []
        self.allowed: dict[str, tuple[str, ...]] = {}

    def origins(self, path: str) -> tuple[str, ...] | None:
        return self.allowed.get(path)

    def submit(self, path: str, event: RequestEvent) -> Future[PluginResponse]:
        self.seen.append((path, event))
        if path in self.waiting:
            return self.waiting[path]
        if path not in self.answers:
            raise UnknownEndpoint
        return settled(self.answers[path])


class ListedDryRuns:
    """Comes to the same report, or error, for every run."""

    def __init__(self) -> None:
        self.report: DryRunReport | Exception = DryRunReport()
        self.seen: list[DryRun] = []

    def submit(self, run: DryRun) -> Future[DryRunReport]:
        self.seen.append(run)
        return settled(self.report)


class ListedProvisions:
    """Changes nothing, and has the same answer for everything."""

    def __init__(self) -> None:
        self.seen: list[tuple] = []
        self.answer: object = CHANGE
        self.prepared: Future[object] = settled(None)
        self.described: Description | Exception = DESCRIPTION

    def prepare(self, new: NewTrigger) -> Future:
        self.seen.append(("prepare", new.name, new.settings.requirements))
        return self.prepared

    def require(
        self, database: str, name: str, requirements: tuple[str, ...] | None, *, upgrade: bool
    ) -> Future:
        return self._answer("require", database, name, requirements, upgrade)

    def install(self, wanted: Wanted) -> Future:
        return self._answer("install", wanted)

    def rollback(self, database: str | None, name: str | None, lock_id: str | None) -> Future:
        return self._answer("rollback", database, name, lock_id)

    def repair(self, database: str | None, name: str | None) -> Future:
        return self._answer("repair", database, name)

    def describe(self, database: str | None, name: str | None) -> Description:
        self.seen.append(("describe", database, name))
        if isinstance(self.described, Exception):
            raise self.described
        return self.described

    def _answer(self, *call: object) -> Future:
        self.seen.append(call)
        return self.answer if isinstance(self.answer, Future) else settled(self.answer)


class ListedUploads:
    """Keeps what was uploaded; one trigger, `t` of `db`, is known."""

    def __init__(self) -> None:
        self.seen: list[tuple] = []
        self.refusal: Exception | None = None

    def create_file(self, name: str, content: bytes) -> None:
        self._take("create_file", name, content)

    def update_file(self, trigger: str, database: str | None, content: bytes) -> None:
        self._take("update_file", trigger, database, content)

    def update_folder(
        self, trigger: str, database: str | None, files: Sequence[UploadedFile]
    ) -> None:
        self._take("update_folder", trigger, database, list(files))

    def _take(self, *call: object) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.seen.append(call)


class ListedLetters:
    """Dead letters in a list; `retried` and `dropped` say what was asked for."""

    def __init__(self) -> None:
        self.known: list[DeadLetter] = []
        self.retried: list[str] = []
        self.dropped: list[str] = []
        self.in_flight: set[str] = set()

    def letters(self, database: str, *, with_closed: bool = False) -> tuple[DeadLetter, ...]:
        of = [one for one in self.known if database in {one.database, "_internal"}]
        return tuple(one for one in of if with_closed or one.state == "open")

    def find(self, database: str, id_: str) -> DeadLetter:
        for letter in self.letters(database, with_closed=True):
            if letter.id == id_:
                return letter
        raise NotFound(f"dead letter {id_}")

    def retry(self, database: str, id_: str) -> None:
        self._check(database, id_)
        self.retried.append(id_)

    def drop(self, database: str, id_: str) -> None:
        self._check(database, id_)
        self.dropped.append(id_)

    def _check(self, database: str, id_: str) -> None:
        if self.find(database, id_).state != "open" or id_ in self.in_flight:
            raise DeadLetterNotOpen(id_, "is being retried or dropped")


def render(shape: Format, table: pa.Table) -> bytes:
    """Render rows simply; what the server really renders is tested with the renderer."""
    rows: Sequence[Mapping] = table.to_pylist()
    match shape:
        case Format.JSON:
            return json.dumps(rows).encode()
        case Format.JSONL:
            return b"".join(json.dumps(row).encode() + b"\n" for row in rows)
        case Format.CSV:
            text = io.StringIO()
            writer = csv.writer(text, lineterminator="\n")
            writer.writerow(table.column_names)
            writer.writerows(row.values() for row in rows)
            return text.getvalue().encode()
        case Format.PRETTY:
            return str(rows).encode()
        case Format.PARQUET:
            return b"PAR1"


class EdgeParts:
    """Everything below the edge, open to tests."""

    def __init__(self, folder: Path, limits: EdgeLimits | None = None) -> None:
        self.catalog = CatalogStore.open(LocalObjects(folder))
        self.committer = MemoryCommitter()
        self._writer = Writer(
            self.catalog,
            self.committer,
            ManualClock(1_000_000_000),
            buffered_bytes=lambda: 0,
            hot_buffer_bytes=1 << 30,
            max_pending_bytes=1 << 30,
        )
        self.writes = ListedWrites(self._writer)
        self.queries = ListedQueries()
        self.definitions = CatalogDefinitions(self.catalog)
        self.requests = ListedRequests()
        self.sources = ListedUploads()
        self.provisions = ListedProvisions()
        self.dry_runs = ListedDryRuns()
        self.letters = ListedLetters()
        self.limits = limits or EdgeLimits()
        self.on_render: Callable[[], None] | None = None

    def services(self) -> HttpServices:
        return HttpServices(
            catalog=self.catalog,
            writer=self.writes,
            queries=self.queries,
            definitions=self.definitions,
            requests=self.requests,
            sources=self.sources,
            provisions=self.provisions,
            dry_runs=self.dry_runs,
            letters=self.letters,
            render=self._render,
            identity=Identity("1.2.3", "abcdef", "00000000-0000-0000-0000-000000000000"),
            limits=self.limits,
            clock=ManualClock(NOW_NS),
        )

    def _render(self, shape: Format, table: pa.Table) -> bytes:
        if self.on_render is not None:
            self.on_render()
        return render(shape, table)

    def stop(self) -> None:
        self._writer.stop()
