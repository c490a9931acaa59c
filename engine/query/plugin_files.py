"""The table `system.plugin_files`: the files behind the triggers of all databases.

Read from the disk for each query. Plugins of the repository and files without a trigger are not
shown, nor are files that are gone.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from engine.catalog.state import Catalog, Database
from engine.errors import PluginFileError
from engine.plugins.paths import CACHE_FOLDER
from engine.plugins.source import PluginFolder
from engine.query.system_tables import Provider

__all__ = ["plugin_files"]

_SCHEMA = pa.schema(
    [
        pa.field("plugin_name", pa.utf8(), nullable=False),
        pa.field("file_name", pa.utf8(), nullable=False),
        pa.field("file_path", pa.utf8(), nullable=False),
        pa.field("size_bytes", pa.int64(), nullable=False),
        pa.field("last_modified", pa.int64(), nullable=False),
    ]
)


def plugin_files(plugins: PluginFolder) -> Provider:
    """Return the provider of the table, which stands in `_internal` only."""

    def provide(catalog: Catalog, _database: Database) -> pa.Table:
        rows = [
            {
                "plugin_name": trigger.name,
                "file_name": name,
                "file_path": str(path),
                "size_bytes": status.st_size,
                "last_modified": status.st_mtime_ns // 1_000_000,
            }
            for _, database in sorted(catalog.databases.items())
            for trigger in catalog.triggers_of(database.id)
            for name, path, status in _files(plugins, trigger.plugin)
        ]
        return pa.Table.from_pylist(rows, _SCHEMA)

    return provide


def _files(plugins: PluginFolder, plugin: str) -> Iterator[tuple[str, Path, os.stat_result]]:
    try:
        top = plugins.path(plugin)
    except PluginFileError:
        return
    if top is None:
        return
    if top.is_dir():
        paths = [(str(path.relative_to(top)), path) for path in _python_files(top)]
    else:
        paths = [(plugin, top)]
    for name, path in paths:
        try:
            yield name, path, path.stat()
        except OSError:
            continue  # gone meanwhile


def _python_files(folder: Path) -> Iterator[Path]:
    for directory, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if name != CACHE_FOLDER)
        for name in sorted(files):
            path = Path(directory, name)
            if name.endswith(".py") and not path.is_symlink():
                yield path
