"""`system.plugin_files`."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from engine.catalog.commands import NewTrigger, create_database, create_trigger
from engine.catalog.objects import LocalObjects
from engine.catalog.store import CatalogStore
from engine.model.trigger import EverySpec, TriggerSettings
from engine.plugins.source import PluginFolder
from engine.query.plugin_files import plugin_files


def test_python_files_of_all_triggers_are_listed(tmp_path: Path) -> None:
    plugins = tmp_path / "plugins"
    for name in ("a/p.py", "f/__init__.py", "f/d/m.py", "f/notes.txt", "f/__pycache__/m.py"):
        (plugins / name).parent.mkdir(parents=True, exist_ok=True)
        (plugins / name).write_text("12345")
    (plugins / "f" / "link.py").symlink_to("/etc/hostname")
    (plugins / "unused.py").write_text("")
    store = CatalogStore.open(LocalObjects(tmp_path / "catalog"))
    named = {"one": {"t": "a/p.py", "gone": "nope.py"}, "two": {"u": "f/", "remote": "gh:x.py"}}
    for database, triggers in named.items():
        store.update(create_database(database))
        for name, plugin in triggers.items():
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
    (plugins / "away").symlink_to("/etc")

    table = plugin_files(PluginFolder(plugins))(store.catalog, store.catalog.database("_internal"))

    rows = [(row["plugin_name"], row["file_name"], row["file_path"]) for row in table.to_pylist()]
    assert rows == [
        ("t", "a/p.py", str(plugins / "a/p.py")),
        ("u", "__init__.py", str(plugins / "f/__init__.py")),
        ("u", "d/m.py", str(plugins / "f/d/m.py")),
    ]
    assert table["size_bytes"].to_pylist() == [5, 5, 5]
    modified = (plugins / "a/p.py").stat().st_mtime_ns // 1_000_000
    assert table["last_modified"][0].as_py() == modified
    assert [f.type for f in table.schema] == [
        pa.utf8(),
        pa.utf8(),
        pa.utf8(),
        pa.int64(),
        pa.int64(),
    ]
    assert not any(f.nullable for f in table.schema)
