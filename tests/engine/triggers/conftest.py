"""A server's worth of environments without workers, disk or installers."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest

from engine.catalog.commands import NewTrigger, create_database, create_trigger
from engine.catalog.objects import LocalObjects
from engine.catalog.pinning import Pinned
from engine.catalog.store import CatalogStore
from engine.clock import ManualClock
from engine.environments.installation import Wanted
from engine.environments.lodging import Lodging
from engine.environments.pending import settled
from engine.environments.service import Environments
from engine.environments.shared import SharedPlace
from engine.environments.standing import StandingEnvironment
from engine.model.lock import EnvironmentChange, change_of
from engine.model.trigger import RequestSpec, Trigger, TriggerSettings
from engine.plugins.source import PluginFolder
from engine.triggers.following import FollowedCode
from engine.triggers.provisioning import Provisioning
from engine.triggers.wishes import Wishes
from tests.preparing import ListedShelf, PlainMaker

SCRIPT = '# /// script\n# dependencies = ["{asks}"]\n# ///\nx = "{mark}"\n'


class Town:
    """Triggers, what they run on, and who changes that."""

    def __init__(self, folder: Path) -> None:
        self.plugins = folder / "plugins"
        self.plugins.mkdir()
        self.shelf = ListedShelf(folder / "environments")
        self.maker = PlainMaker(self.shelf)
        self.store = CatalogStore.open(LocalObjects(folder / "catalog"))
        self.store.update(create_database("db"))
        self.woken: list[int | None] = []
        self.notes: list[tuple[str, str]] = []
        self.in_place: list[Wanted] = []
        self.clock = ManualClock(10)
        self._edits = 0
        self.open()

    def open(self) -> None:
        """Begin as a server does at its start."""
        link = self.plugins / ".venv"
        self.environments = Environments(
            lambda: self.store.catalog,
            self.maker,
            self.shelf,
            may_install=True,
            now_ns=self.clock.now_ns,
        )
        self.lodging = Lodging(
            lambda: self.store.catalog,
            self.environments,
            SharedPlace(link, self.shelf.root),
            StandingEnvironment(link, self.plugins),
        )
        self.wishes = Wishes(PluginFolder(self.plugins))
        self.provisioning = Provisioning(
            self.store,
            self.environments,
            self.lodging,
            self.wishes,
            self.clock,
            wake=self.woken.append,
            install_in_place=self._install_in_place,
            note=lambda trigger, text: self.notes.append((trigger, text)),
        )

    def close(self) -> None:
        self.environments.stop()
        self.provisioning.stop()

    def plugin(self, name: str, asks: str = "", mark: str = "") -> None:
        """Write a plugin; one that is rewritten is so old that it is read at once."""
        path = self.plugins / name
        path.write_text(SCRIPT.format(asks=asks, mark=mark) if asks else f"x = '{mark}'\n")
        self._edits += 1
        os.utime(path, (self._edits, self._edits))

    def new(self, name: str, plugin: str, *requirements: str) -> NewTrigger:
        settings = TriggerSettings(requirements=requirements)
        return NewTrigger("db", name, plugin, RequestSpec(name), settings)

    def create(self, name: str, plugin: str, *requirements: str) -> Trigger:
        """Create a trigger as the edge and the definitions do."""
        new = self.new(name, plugin, *requirements)
        found = self.provisioning.prepare(new).result(10)
        pinned = None if found is None else Pinned(found.asked, found.lock)
        self.store.update(create_trigger(new, start=0, now_ns=10, pinned=pinned))
        return self.store.catalog.trigger_named("db", name)

    def code(self, trigger: Trigger) -> tuple[FollowedCode, list[str]]:
        """Return the code of a trigger, and the list that gets its reports."""
        reports: list[str] = []
        code = FollowedCode(
            trigger,
            PluginFolder(self.plugins).find(trigger.plugin),
            catalog=lambda: self.store.catalog,
            wishes=self.wishes,
            provisioning=self.provisioning,
            report=reports.append,
        )
        return code, reports

    def _install_in_place(self, wanted: Wanted) -> Future[EnvironmentChange]:
        self.in_place.append(wanted)
        return settled(change_of({}, {"six": "1.0"}))


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Town]:
    town = Town(tmp_path)
    yield town
    town.maker.go_on.set()
    town.close()
