"""Changes of triggers, without workers."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest

from engine.catalog.commands import NewTrigger, create_database
from engine.catalog.deletion import NOW
from engine.catalog.objects import LocalObjects
from engine.catalog.store import CatalogStore
from engine.clock import SystemClock
from engine.errors import InvalidParameter
from engine.model.grants import Grants
from engine.model.limits import Limits
from engine.model.trigger import (
    AllTablesSpec,
    EverySpec,
    Kind,
    RequestSpec,
    Trigger,
    TriggerSettings,
    TriggerSpec,
    kind,
)
from engine.plugins.source import PluginFolder
from engine.triggers.definitions import TriggerDefinitions
from engine.triggers.scheduler import Scheduler
from engine.workers.registry import Registry


class WritesMeanwhile:
    """Stands for the registry; each start takes so long that the log grows."""

    def __init__(self) -> None:
        self.end = 5
        self.stopped: list[int] = []
        self.confined: list[Trigger] = []

    def start(self, trigger: Trigger) -> None:
        self.end += 1

    def confine(self, trigger: Trigger) -> None:
        self.confined.append(trigger)

    def stop(self, trigger_id: int) -> None:
        self.stopped.append(trigger_id)


@pytest.mark.parametrize(
    ("spec", "name"),
    [(AllTablesSpec(), "WalRows"), (EverySpec(10**9), "Schedule"), (RequestSpec("x"), "Request")],
)
def test_a_kind_that_the_server_is_set_up_to_reject_is_refused_before_its_plugin_is_read(
    tmp_path: Path, spec: TriggerSpec, name: str
) -> None:
    catalog = CatalogStore.open(LocalObjects(tmp_path / "catalog"))
    definitions = TriggerDefinitions(
        catalog,
        cast("Registry", WritesMeanwhile()),
        Scheduler(SystemClock(), lambda *_: None),
        PluginFolder(tmp_path),
        SystemClock(),
        log_end=lambda: 0,
        note_end=lambda databases, end: None,
        note_start=lambda _: None,
        forget_progress=lambda _: None,
        allowed_kinds=frozenset(Kind) - {kind(spec)},
    )

    with pytest.raises(InvalidParameter) as caught:
        definitions.create(NewTrigger("db", "t", "none.py", spec))

    assert str(caught.value) == (
        f"invalid request: server is configured to reject {name} plugin triggers"
    )


def test_what_is_written_while_a_trigger_starts_is_announced_to_it(tmp_path: Path) -> None:
    (tmp_path / "p.py").write_text("def process_writes(influxdb3_local, tables, args): pass\n")
    catalog = CatalogStore.open(LocalObjects(tmp_path / "catalog"))
    catalog.update(create_database("db"))
    registry = WritesMeanwhile()
    told: list[tuple[list[int], int]] = []
    definitions = TriggerDefinitions(
        catalog,
        cast("Registry", registry),
        Scheduler(SystemClock(), lambda *_: None),
        PluginFolder(tmp_path),
        SystemClock(),
        log_end=lambda: registry.end,
        note_end=lambda databases, end: told.append((list(databases), end)),
        note_start=lambda _: None,
        forget_progress=lambda _: None,
    )

    definitions.create(NewTrigger("db", "t", "p.py", AllTablesSpec()))
    definitions.disable("db", "t")
    definitions.enable("db", "t")

    database = catalog.catalog.databases["db"].id
    assert told == [([database], 6), ([database], 7)]
    assert catalog.catalog.trigger_named("db", "t").start == 6


def test_deleted_database_stops_its_triggers_and_no_others(tmp_path: Path) -> None:
    (tmp_path / "p.py").write_text("def process_writes(influxdb3_local, tables, args): pass\n")
    catalog = CatalogStore.open(LocalObjects(tmp_path / "catalog"))
    registry, forgotten = WritesMeanwhile(), []
    definitions = TriggerDefinitions(
        catalog,
        cast("Registry", registry),
        Scheduler(SystemClock(), lambda *_: None),
        PluginFolder(tmp_path),
        SystemClock(),
        log_end=lambda: registry.end,
        note_end=lambda databases, end: None,
        note_start=lambda _: None,
        forget_progress=forgotten.append,
    )
    for name in ("db", "other"):
        catalog.update(create_database(name))
        definitions.create(NewTrigger(name, "t", "p.py", AllTablesSpec()))
        definitions.create(NewTrigger(name, "s", "p.py", EverySpec(10**9)))
    gone = {t.id for t in catalog.catalog.triggers_of(catalog.catalog.database("db").id)}

    definitions.delete_database("db", NOW)

    assert len(gone) == 2
    assert set(registry.stopped) == set(forgotten) == gone
    assert len(catalog.catalog.triggers) == 2


def refuse_processes(grants: Grants, limits: Limits) -> None:
    if grants.subprocess:
        raise InvalidParameter("no processes here")


def test_new_grants_and_limits_reach_catalog_and_worker_without_a_stop(tmp_path: Path) -> None:
    (tmp_path / "p.py").write_text("def process_writes(influxdb3_local, tables, args): pass\n")
    catalog = CatalogStore.open(LocalObjects(tmp_path / "catalog"))
    catalog.update(create_database("db"))
    registry = WritesMeanwhile()
    definitions = TriggerDefinitions(
        catalog,
        cast("Registry", registry),
        Scheduler(SystemClock(), lambda *_: None),
        PluginFolder(tmp_path),
        SystemClock(),
        log_end=lambda: registry.end,
        note_end=lambda databases, end: None,
        note_start=lambda _: None,
        forget_progress=lambda _: None,
        admit=refuse_processes,
    )
    definitions.create(NewTrigger("db", "t", "p.py", AllTablesSpec()))

    definitions.confine("db", "t", Grants(self_http=True), None)
    definitions.confine("db", "t", None, Limits(processes=4))
    with pytest.raises(InvalidParameter, match="no processes here"):
        definitions.confine("db", "t", Grants(subprocess=True), None)

    trigger = catalog.catalog.trigger_named("db", "t")
    assert trigger.settings.grants == Grants(self_http=True)
    assert trigger.settings.limits == Limits(processes=4)
    assert registry.confined[-1] == trigger
    assert (len(registry.confined), registry.stopped) == (2, [])


def test_a_trigger_that_asks_for_too_much_is_not_created(tmp_path: Path) -> None:
    catalog = CatalogStore.open(LocalObjects(tmp_path / "catalog"))
    definitions = TriggerDefinitions(
        catalog,
        cast("Registry", WritesMeanwhile()),
        Scheduler(SystemClock(), lambda *_: None),
        PluginFolder(tmp_path),
        SystemClock(),
        log_end=lambda: 0,
        note_end=lambda databases, end: None,
        note_start=lambda _: None,
        forget_progress=lambda _: None,
        admit=refuse_processes,
    )
    settings = TriggerSettings(grants=Grants(subprocess=True))

    with pytest.raises(InvalidParameter, match="no processes here"):
        definitions.create(NewTrigger("db", "t", "none.py", AllTablesSpec(), settings))
