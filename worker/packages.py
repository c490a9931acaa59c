"""Plugin folders, imported as packages.

Only sources are read: byte code caches go by whole seconds and sizes, so they would hide an edit
made right after an import. A folder that changes while it is imported is imported again, so that
no plugin is made of files of two versions. Called under the loader's lock.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from importlib.machinery import (
    BYTECODE_SUFFIXES,
    EXTENSION_SUFFIXES,
    SOURCE_SUFFIXES,
    ExtensionFileLoader,
    FileFinder,
    SourceFileLoader,
    SourcelessFileLoader,
)
from pathlib import Path
from types import CodeType, ModuleType

__all__ = ["PluginInvalid", "import_package"]

_MOST_IMPORTS = 5  # of a folder that changes all the time
_uncached: set[str] = set()


class PluginInvalid(Exception):
    """There is nothing to call; the text is the whole message."""


def import_package(folder: str) -> ModuleType:
    """Import exactly this folder, whatever else has its name.

    Raises:
        PluginInvalid: its code raises, or it is no package.
    """
    folder = folder.rstrip(os.sep)
    _read_sources_of(folder)
    for _ in range(_MOST_IMPORTS - 1):
        before, modules = _fingerprint(folder), dict(sys.modules)
        try:
            module = _import_once(folder, modules)
        except PluginInvalid:
            if _fingerprint(folder) == before:
                raise
        else:
            if _fingerprint(folder) == before:
                return module
            _forget(Path(folder).name, modules)
    return _import_once(folder, dict(sys.modules))


class _UncachedLoader(SourceFileLoader):
    """Compiles sources anew; neither reads nor writes byte code."""

    def get_code(self, fullname: str) -> CodeType:
        """Return the code of a module."""
        path = self.get_filename(fullname)
        code: CodeType = self.source_to_code(self.get_data(path), path)
        return code


def _read_sources_of(folder: str) -> None:
    """Let whatever is imported from a folder, or from below it, be compiled from its source."""
    if folder in _uncached:
        return
    _uncached.add(folder)
    loaders = (
        (ExtensionFileLoader, EXTENSION_SUFFIXES),
        (_UncachedLoader, SOURCE_SUFFIXES),
        (SourcelessFileLoader, BYTECODE_SUFFIXES),
    )

    def finder(path: str) -> FileFinder:
        if path != folder and not path.startswith(folder + os.sep):
            raise ImportError(path=path)
        return FileFinder(path, *loaders)

    sys.path_hooks.insert(0, finder)


def _fingerprint(folder: str) -> list[tuple[str, int, int, int]]:
    """Return what tells one state of the sources from another."""
    found = []
    for directory, _folders, files in os.walk(folder):
        for name in files:
            if name.endswith(".py"):
                path = Path(directory, name)
                try:
                    status = path.stat()
                except FileNotFoundError:
                    continue
                found.append((str(path), status.st_ino, status.st_size, status.st_mtime_ns))
    return sorted(found)


def _import_once(folder: str, previous: dict[str, ModuleType]) -> ModuleType:
    parent, name = os.path.split(folder)
    entry = f"{folder}/__init__.py"
    spec = importlib.util.spec_from_file_location(
        name, entry, loader=_UncachedLoader(name, entry), submodule_search_locations=[folder]
    )
    if spec is None or spec.loader is None:
        raise PluginInvalid(f"Failed to import plugin module '{name}': it is no package")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    sys.path.insert(0, parent)
    importlib.invalidate_caches()
    try:
        spec.loader.exec_module(module)
    except BaseException as error:
        _forget(name, previous)
        raise PluginInvalid(
            f"Failed to import plugin module '{name}': {type(error).__qualname__}: {error}\n"
            "Hint: Check for syntax errors or missing dependencies in Python files."
        ) from error
    finally:
        if parent in sys.path:
            sys.path.remove(parent)
    return module


def _forget(name: str, previous: dict[str, ModuleType]) -> None:
    """Undo the import of a package, so that the next one begins with its first line."""
    for module in [m for m in sys.modules if m == name or m.startswith(f"{name}.")]:
        del sys.modules[module]
    if name in previous:
        sys.modules[name] = previous[name]
