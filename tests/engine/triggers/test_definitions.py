"""Changes of triggers, without workers."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from engine.catalog.commands import NewTrigger, create_database
from engine.catalog.objects import LocalObjects
from engine.catalog.store import CatalogStore
from engine.clock import SystemClock
from engine.model.trigger import AllTablesSpec, Trigger
from engine.plugins.source import PluginFolder
from engine.triggers.definitions import TriggerDefinitions
from engine.triggers.scheduler import Scheduler
from engine.workers.registry import Registry


class WritesMeanwhile:
    """Stands for the registry; each start takes so long that the log grows."""

    def __init__(self) -> None:
        self.end = 5

    def start(self, trigger: Trigger) -> None:
        self.end += 1

    def stop(self, trigger_id: int) -> None:
        pass


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
        forget_progress=lambda _: None,
    )

    definitions.create(NewTrigger("db", "t", "p.py", AllTablesSpec()))
    definitions.disable("db", "t")
    definitions.enable("db", "t")

    database = catalog.catalog.databases["db"].id
    assert told == [([database], 6), ([database], 7)]
    assert catalog.catalog.trigger_named("db", "t").start == 6
