"""Plugins on this machine, as they are sent to a server.

Of a folder the `*.py` files go, without links, byte code caches, and whatever is below a name that
begins with a dot; and the files in it that say which packages it needs.
"""

from __future__ import annotations

import os
from pathlib import Path

from engine.cli.client import Client
from engine.cli.failures import CommandFailed

__all__ = ["plugin_files", "read_text", "upload"]

_ENTRY_FILE = "__init__.py"
_FILES_PATH = "/api/v3/plugins/files"
_ASKING_FILES = ("manifest.toml", "pyproject.toml", "requirements.txt")


def upload(client: Client, path: Path) -> str:
    """Send a file or folder to the server's plugin folder.

    Returns:
        The name under which a trigger finds it there.

    Raises:
        CommandFailed: it cannot be read, or the server does not take it.
    """
    if not path.exists():
        raise CommandFailed(f"File not found: {path}")
    name = path.resolve().name
    if path.is_dir():
        files = {f"{name}/{inner}": text for inner, text in plugin_files(path).items()}
    else:
        files = {name: read_text(path)}
    for file, text in files.items():
        client.send_json("POST", _FILES_PATH, {"plugin_name": file, "content": text})
    return name


def plugin_files(folder: Path) -> dict[str, str]:
    """Return the texts of a folder's files by their paths in it.

    Raises:
        CommandFailed: it has no `__init__.py`, or a file cannot be read.
    """
    if not (folder / _ENTRY_FILE).is_file():
        raise CommandFailed(f"Multi-file plugin directory must contain {_ENTRY_FILE}: {folder}")
    found: dict[str, str] = {}
    for directory, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if _is_wanted(name))
        for name in sorted(files):
            file = Path(directory, name)
            if name.endswith(".py") and _is_wanted(name) and not file.is_symlink():
                found[file.relative_to(folder).as_posix()] = read_text(file)
    asking = [folder / name for name in _ASKING_FILES]
    return found | {f.name: read_text(f) for f in asking if f.is_file() and not f.is_symlink()}


def read_text(file: Path) -> str:
    """Return a file's text, line ends as they are.

    Raises:
        CommandFailed: it cannot be read, or is no UTF-8.
    """
    try:
        return file.read_bytes().decode()
    except OSError as error:
        raise CommandFailed(f"cannot read {file}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise CommandFailed(f"cannot read {file}: {error}") from error


def _is_wanted(name: str) -> bool:
    return name != "__pycache__" and not name.startswith(".")
