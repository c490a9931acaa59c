"""The table `system.processing_engine_environments`: what triggers run with, had, and wait for.

A row for each lock that the pin of a trigger, or of the shared environment, remembers, and one for
each build that goes on or has failed lately. Whoever builds gives the latter, and knows what
stands on the disk.
Threads: the provider may be called from any, and so must be what it is given.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from engine.catalog.state import Catalog, Database
from engine.model.lock import SHARED, Lock, Pin, Switch, change_between, packages_of
from engine.model.names import INTERNAL_DATABASE

__all__ = ["BuildRow", "Kept", "environment_table"]

_SCHEMA = pa.schema(
    [
        pa.field("trigger_name", pa.utf8()),
        pa.field("database", pa.utf8()),
        pa.field("lock", pa.utf8()),
        pa.field("state", pa.utf8(), nullable=False),
        pa.field("reason", pa.utf8()),
        pa.field("python", pa.utf8()),
        pa.field("packages", pa.int64()),
        pa.field("size_bytes", pa.int64()),
        pa.field("time", pa.timestamp("ns"), nullable=False),
        pa.field("requirements", pa.utf8()),
        pa.field("added", pa.utf8()),
        pa.field("removed", pa.utf8()),
        pa.field("changed", pa.utf8()),
        pa.field("last_line", pa.utf8()),
        pa.field("error", pa.utf8()),
    ]
)
_Row = dict[str, object]


@dataclass(frozen=True, slots=True)
class Kept:
    """What the disk holds of a lock.

    Args:
        size_bytes: None when it is not built.
        reason_broken: why it cannot be used; None when it can, or is not built.
    """

    size_bytes: int | None = None
    reason_broken: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildRow:
    """An environment that is being built, or could not be.

    Args:
        database: of the trigger; None for the shared environment.
        trigger: likewise; it may not exist yet, or any more.
        state: `building` or `failed`.
        requirements: what is asked for.
        began_ns: UTC nanoseconds.
        last_line: what the installer said last.
        error: why it failed; None while it is built.
    """

    database: str | None
    trigger: str | None
    state: str
    requirements: Sequence[str]
    began_ns: int
    last_line: str = ""
    error: str | None = None


def environment_table(
    builds: Callable[[], Iterable[BuildRow]],
    kept: Callable[[str], Kept],
) -> Callable[[Catalog, Database], pa.Table]:
    """Return the provider of the table.

    A database sees its own triggers and the shared environment, `_internal` all.

    Args:
        builds: tells what is built and what has failed, oldest first.
        kept: tells what the disk holds of a lock, by its id.
    """

    def provide(catalog: Catalog, database: Database) -> pa.Table:
        rows = list(_of_pins(catalog, database.name, kept))
        seen = {database.name, None}
        is_all = database.name == INTERNAL_DATABASE
        rows += [_of_build(build) for build in builds() if is_all or build.database in seen]
        return pa.Table.from_pylist(rows, _SCHEMA)

    return provide


def _of_pins(catalog: Catalog, database: str, kept: Callable[[str], Kept]) -> Iterator[_Row]:
    """Yield the rows of what pins remember: the shared one first, each oldest first."""
    for id_, trigger, of in _owners(catalog, database):
        pin = catalog.pins.get(id_)
        if pin is not None:
            names = {"trigger_name": trigger, "database": of}
            yield from (names | row for row in _of_pin(pin, catalog.locks, kept))


def _owners(catalog: Catalog, database: str) -> Iterator[tuple[int, str | None, str | None]]:
    yield SHARED, None, None
    names = sorted(catalog.databases) if database == INTERNAL_DATABASE else [database]
    for name in names:
        for trigger in catalog.triggers_of(catalog.databases[name].id):
            yield trigger.id, trigger.name, name


def _of_pin(pin: Pin, locks: Mapping[str, Lock], kept: Callable[[str], Kept]) -> Iterator[_Row]:
    before: Lock | None = None
    for switch in pin.history:
        lock, found = locks[switch.lock_id], kept(switch.lock_id)
        row = _of_switch(switch, before, lock) | {"size_bytes": found.size_bytes}
        if switch is pin.history[-1]:
            row["requirements"] = json.dumps(pin.asked.requirements)
            row["error"] = found.reason_broken
            row["state"] = "ready" if found.reason_broken is None else "broken"
        yield row
        before = lock


def _of_switch(switch: Switch, before: Lock | None, lock: Lock) -> _Row:
    told = change_between(before, lock).to_json()
    return {
        "lock": switch.lock_id,
        "state": "superseded",
        "reason": switch.reason.value,
        "python": lock.python,
        "packages": len(packages_of(lock.text)),
        "time": switch.at_ns,
        **{name: json.dumps(told[name]) for name in ("added", "removed", "changed")},
    }


def _of_build(build: BuildRow) -> _Row:
    return {
        "trigger_name": build.trigger,
        "database": build.database,
        "state": build.state,
        "requirements": json.dumps(list(build.requirements)),
        "time": build.began_ns,
        "last_line": build.last_line,
        "error": build.error,
    }
