"""Find the code of a plugin by the name that a trigger gives it.

    <file>.py       a single file of the plugin folder, in subfolders if need be
    <folder>        a folder of the plugin folder, with `__init__.py`
    gh:<path>       a single file of the plugin repository, fetched when the trigger starts

Any thread may call.
"""

from __future__ import annotations

from pathlib import Path

from engine.errors import PluginFileError
from engine.model.lock import MANIFEST_FILE
from engine.plugins.code import ENTRY_FILE, LocalCode, PluginCode, Report, Source
from engine.plugins.fetch import REMOTE_PREFIX, FetchedCode, Repository
from engine.plugins.paths import inside

__all__ = ["PluginCode", "PluginFolder", "Source"]


def _silent(_text: str) -> None:
    """Report to nobody."""


class PluginFolder:
    """Where plugins are found.

    Args:
        directory: the plugin folder; it need not exist yet.
        repository: where plugins named `gh:` come from, if from anywhere.
    """

    def __init__(self, directory: Path, repository: Repository | None = None) -> None:
        self.directory = directory.absolute()
        self._repository = repository

    def find(self, name: str, report: Report = _silent) -> PluginCode:
        """Return a plugin's code, which need not be there until it is asked for.

        Args:
            name: as the trigger gives it.
            report: called with a text when a last good copy has to serve.
        """
        if name.startswith(REMOTE_PREFIX):
            return FetchedCode(name, self._repository, report)
        return LocalCode(name, lambda: self._locate(name), report, lambda: self._manifest(name))

    def open(self, name: str) -> PluginCode:
        """Find a plugin that must be there.

        Raises:
            PluginFileError: there is none of this name, or it lies outside the folder.
        """
        if not name.startswith(REMOTE_PREFIX):
            self._locate(name)
        return self.find(name)

    def check(self, name: str) -> Source:
        """Return a plugin that a new trigger names; a copy kept from before does not count.

        Raises:
            PluginFileError: it cannot be read.
        """
        code = self.find(name)
        return code.fetch() if isinstance(code, FetchedCode) else code.current()

    def path(self, name: str) -> Path | None:
        """Return where a plugin is, or would be; None when that is not on this machine.

        Raises:
            PluginFileError: it would lie outside the folder.
        """
        return None if name.startswith(REMOTE_PREFIX) else inside(self.directory, name)

    def _manifest(self, name: str) -> Path | None:
        """Return where the manifest of a single file would be; none is directly in the folder."""
        parent = Path(name).parent
        return inside(self.directory, str(parent / MANIFEST_FILE)) if parent.parts else None

    def _locate(self, name: str) -> Path:
        path = inside(self.directory, name)
        if path.is_dir():
            if not (path / ENTRY_FILE).is_file():
                raise PluginFileError(
                    "reading plugin file: Multi-file plugin directory must contain "
                    f"{ENTRY_FILE}: {path}"
                )
        elif not path.is_file():
            raise PluginFileError(f"reading plugin file: Plugin not found: {path}")
        return path
