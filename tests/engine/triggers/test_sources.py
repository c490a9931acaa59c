"""Which file an update is meant for."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.catalog.commands import NewTrigger, create_database, create_trigger
from engine.catalog.objects import LocalObjects
from engine.catalog.store import CatalogStore
from engine.model.trigger import EverySpec, TriggerSettings
from engine.plugins.paths import UploadRefused
from engine.plugins.source import PluginFolder
from engine.plugins.upload import UploadedFile, Uploads
from engine.triggers.sources import PluginSources, UpdatedPluginNotFound

ENTRY = UploadedFile("__init__.py", b"new")


@pytest.fixture
def plugins(tmp_path: Path) -> Path:
    folder = tmp_path / "plugins"
    folder.mkdir()
    return folder


@pytest.fixture
def store(tmp_path: Path) -> CatalogStore:
    return CatalogStore.open(LocalObjects(tmp_path / "catalog"))


@pytest.fixture
def sources(store: CatalogStore, plugins: Path) -> PluginSources:
    return PluginSources(lambda: store.catalog, PluginFolder(plugins), Uploads(plugins))


def trigger(store: CatalogStore, database: str, name: str, plugin: str) -> None:
    if database not in store.catalog.databases:
        store.update(create_database(database))
    new = NewTrigger(
        database=database,
        name=name,
        plugin=plugin,
        spec=EverySpec(10**9),
        settings=TriggerSettings(),
        arguments=None,
        disabled=True,
    )
    store.update(create_trigger(new, start=0, now_ns=0))


def test_the_first_trigger_of_a_name_is_meant_unless_a_database_is_given(
    sources: PluginSources, store: CatalogStore, plugins: Path
) -> None:
    trigger(store, "one", "t", "one.py")
    trigger(store, "two", "t", "two.py")

    sources.update_file("t", None, b"1")
    sources.update_file("t", "two", b"2")

    assert (plugins / "one.py").read_text() == "1"
    assert (plugins / "two.py").read_text() == "2"


def test_of_a_folder_the_entry_file_is_replaced(
    sources: PluginSources, store: CatalogStore, plugins: Path
) -> None:
    trigger(store, "db", "t", "deep/f/")
    sources.update_folder("t", None, [ENTRY, UploadedFile("m.py", b"m")])

    sources.update_file("t", None, b"newer")

    assert (plugins / "deep/f/__init__.py").read_text() == "newer"
    assert (plugins / "deep/f/m.py").read_text() == "m"


def test_what_cannot_be_updated_is_told(
    sources: PluginSources, store: CatalogStore, plugins: Path
) -> None:
    trigger(store, "db", "remote", "gh:a/b.py")
    trigger(store, "db", "single", "p.py")
    (plugins / "p.py").write_text("old")

    with pytest.raises(UpdatedPluginNotFound, match="Plugin not found: nope"):
        sources.update_file("nope", None, b"")
    with pytest.raises(UpdatedPluginNotFound):
        sources.update_file("single", "other", b"")
    with pytest.raises(UploadRefused, match=r"comes from the plugin repository \(gh:a/b.py\)"):
        sources.update_file("remote", None, b"")
    with pytest.raises(UploadRefused, match="is a single file"):
        sources.update_folder("single", None, [ENTRY])

    assert (plugins / "p.py").read_text() == "old"
