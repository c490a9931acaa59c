"""Plugins that are sent to the server: which file or folder an upload is meant for.

An upload changes files only. Triggers that run them see the change with their next event.
Every method blocks on the disk; any thread may call.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from engine.catalog.state import Catalog
from engine.errors import PluginError
from engine.model.trigger import Trigger
from engine.plugins.code import ENTRY_FILE
from engine.plugins.paths import UploadRefused
from engine.plugins.source import PluginFolder
from engine.plugins.upload import UploadedFile, Uploads

__all__ = ["PluginSources", "UpdatedPluginNotFound"]

log = logging.getLogger(__name__)


class UpdatedPluginNotFound(PluginError):
    """No trigger has the name under which a plugin was to be updated."""

    code = "updated_plugin_not_found"

    def __init__(self, name: str) -> None:
        super().__init__(f"Processing engine error: plugin error: Plugin not found: {name}")


class PluginSources:
    """Takes uploads.

    Args:
        catalog: returns the newest catalog.
        plugins: where plugins are found.
        uploads: writes there.
    """

    def __init__(
        self, catalog: Callable[[], Catalog], plugins: PluginFolder, uploads: Uploads
    ) -> None:
        self._catalog = catalog
        self._plugins = plugins
        self._uploads = uploads

    def create_file(self, name: str, content: bytes) -> None:
        """Write a file of the plugin folder; see `Uploads.put_file`."""
        self._uploads.put_file(name, content)
        log.info("plugin file uploaded", extra={"file": name, "bytes": len(content)})

    def update_file(self, trigger: str, database: str | None, content: bytes) -> None:
        """Replace the file of a trigger, or the `__init__.py` of its folder.

        Args:
            trigger: its name.
            database: where it is, or None for the first trigger of this name anywhere.
            content: the new text.

        Raises:
            UpdatedPluginNotFound: there is no such trigger.
            UploadRefused: it takes its plugin from the repository, or the text is too large.
            PluginFileError: the disk refuses.
        """
        name = self._plugin_of(trigger, database)
        path = self._plugins.path(name)
        if path is not None and path.is_dir():
            name = f"{name}/{ENTRY_FILE}"
        self._uploads.put_file(name, content)
        log.info("plugin file updated", extra={"trigger": trigger, "file": name})

    def update_folder(
        self, trigger: str, database: str | None, files: Sequence[UploadedFile]
    ) -> None:
        """Replace the folder of a trigger by one with exactly these files; see `update_file`."""
        name = self._plugin_of(trigger, database)
        self._uploads.put_folder(name, files)
        log.info("plugin folder replaced", extra={"trigger": trigger, "files": len(files)})

    def _plugin_of(self, trigger_name: str, database: str | None) -> str:
        found = _first(self._catalog(), trigger_name, database)
        if found is None:
            raise UpdatedPluginNotFound(trigger_name)
        if self._plugins.path(found.plugin) is None:
            raise UploadRefused(
                f"the plugin of trigger '{trigger_name}' comes from the plugin repository "
                f"({found.plugin}); change it there, then disable and enable the trigger"
            )
        return found.plugin.rstrip("/")


def _first(catalog: Catalog, trigger_name: str, database: str | None) -> Trigger | None:
    for name, held in catalog.databases.items():
        if database in {None, name}:
            for trigger in catalog.triggers_of(held.id):
                if trigger.name == trigger_name:
                    return trigger
    return None
