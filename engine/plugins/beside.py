"""What a plugin finds in the plugin folder: itself, and the data files beside it.

Data files are those that lie beside the plugin or directly in the plugin folder, are no Python
files, and are not hidden. Folders belong to other plugins, so they are left out; one is seen only
by whoever was granted it. Any thread may call.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path

from engine.plugins.fetch import REMOTE_PREFIX
from engine.plugins.paths import inside

__all__ = ["seen_by"]

log = logging.getLogger(__name__)
_MOST_FILES = 256  # each becomes a mount


def seen_by(directory: Path, name: str) -> dict[str, Path]:
    """Return where the files and folders lie that a plugin sees, by their path in the folder.

    Args:
        directory: the plugin folder.
        name: of the plugin, as its trigger gives it.

    Raises:
        PluginFileError: the plugin would lie outside the folder.
    """
    found = _data_files(directory, directory)
    if not name.startswith(REMOTE_PREFIX):
        path = inside(directory, name)
        if path.parent != directory:
            found |= _data_files(path.parent, directory)
        if path.exists():
            found[os.path.relpath(path, directory)] = path
    return found


def _data_files(folder: Path, directory: Path) -> dict[str, Path]:
    try:
        names = sorted(path.name for path in folder.iterdir())
    except OSError:
        return {}
    paths = [folder / name for name in names if _is_data_name(name)]
    files = {
        os.path.relpath(path, directory): path for path in paths if _is_within(path, directory)
    }
    if len(files) > _MOST_FILES:
        log.warning("too many data files beside a plugin", extra={"path": folder})
    return dict(list(files.items())[:_MOST_FILES])


def _is_data_name(name: str) -> bool:
    return not name.startswith(".") and not name.endswith(".py")


def _is_within(path: Path, directory: Path) -> bool:
    """Tell whether this is a file whose links, if any, stay in the plugin folder."""
    return path.is_file() and path.resolve().is_relative_to(directory.resolve())
