"""Plugins as functions to call.

A single file is compiled once per content and executed for each event in fresh globals, as Core
does: module state does not survive, and the globals have no `__name__` and no `__file__`. A folder
is imported once, as a package with its own name, and from its sources alone: byte code caches go
by whole seconds and sizes, so they would hide an edit made right after an import.

One `Loader` serves all lanes of a process; its lock guards its fields.

Source: InfluxDB 3 Core plugin API, "What a plugin is" and "Entry points".
"""

from __future__ import annotations

import builtins
import importlib.util
import linecache
import os
import sys
import threading
from collections.abc import Callable
from importlib.machinery import (
    BYTECODE_SUFFIXES,
    EXTENSION_SUFFIXES,
    SOURCE_SUFFIXES,
    ExtensionFileLoader,
    FileFinder,
    SourceFileLoader,
    SourcelessFileLoader,
)
from types import CodeType, ModuleType
from typing import Any

from worker import line_builder
from worker.api import QueryError
from worker.wire.messages import Load

__all__ = ["SOURCE_NAME", "Loader", "PluginInvalid", "install_builtins"]

SOURCE_NAME = "<string>"
_SIGNATURES = {
    "process_writes": "process_writes(influxdb3_local, table_batches, args=None)",
    "process_scheduled_call": "process_scheduled_call(influxdb3_local, call_time, args=None)",
    "process_request": (
        "process_request(influxdb3_local, query_parameters, request_headers, request_body, "
        "args=None) -> Tuple[str, Optional[Dict[str, str]]]"
    ),
}


class PluginInvalid(Exception):
    """There is nothing to call; the text is the whole message."""


def install_builtins() -> None:
    """Put `LineBuilder` and the errors of the API where every plugin sees them."""
    for name in line_builder.__all__:
        kind = getattr(line_builder, name)
        # So that pickle finds the class after this module has been hidden.
        kind.__module__ = "builtins"
        setattr(builtins, name, kind)
    setattr(builtins, QueryError.__name__, QueryError)


class Loader:
    """Holds the plugin of the trigger."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._load: Load | None = None
        self._code: CodeType | None = None
        self._modules: dict[str, ModuleType] = {}
        self._uncached: set[str] = set()

    def load(self, load: Load) -> None:
        """Take a plugin to run from now on; what is wrong with it shows at the next run."""
        with self._lock:
            if load != self._load:
                self._load, self._code = load, None

    def entry_point(self, name: str) -> Callable[..., object]:
        """Return the function to call for one event.

        Raises:
            PluginInvalid: there is no such function, or the package cannot be imported.
            BaseException: what the plugin's own code raises while it is loaded.
        """
        with self._lock:
            load = self._load
            if load is None:
                raise PluginInvalid("no plugin was loaded")
            if load.folder is not None:
                names: dict[str, Any] = vars(self._import(load.folder))
                return _pick(names, name)
            code = self._compile(load)
        names = {"__builtins__": builtins}
        exec(code, names)  # noqa: S102 - running the plugin is what this process is for
        return _pick(names, name)

    def _compile(self, load: Load) -> CodeType:
        if self._code is None:
            text = load.text or ""
            # Before the compilation, whose SyntaxError shows a line too.
            lines = text.splitlines(keepends=True)
            linecache.cache[SOURCE_NAME] = (len(text), None, lines, SOURCE_NAME)
            self._code = compile(text, SOURCE_NAME, "exec", dont_inherit=True)
        return self._code

    def _import(self, folder: str) -> ModuleType:
        module = self._modules.get(folder)
        if module is None:
            if folder not in self._uncached:
                self._uncached.add(folder)
                _read_sources_of(folder.rstrip(os.sep))
            module = self._modules[folder] = _import_package(folder)
        return module


def _pick(names: dict[str, Any], name: str) -> Callable[..., object]:
    function: Callable[..., object] | None = names.get(name)
    if function is None:
        raise PluginInvalid(
            f"the {name} function is not present in the plugin. "
            f"Should be defined as: {_SIGNATURES[name]}"
        )
    return function


class _UncachedLoader(SourceFileLoader):
    """Compiles sources anew; neither reads nor writes byte code."""

    def get_code(self, fullname: str) -> CodeType:
        """Return the code of a module."""
        path = self.get_filename(fullname)
        code: CodeType = self.source_to_code(self.get_data(path), path)
        return code


def _read_sources_of(folder: str) -> None:
    """Let whatever is imported from a folder, or from below it, be compiled from its source."""
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


def _import_package(folder: str) -> ModuleType:
    """Import exactly this folder, whatever else has its name."""
    folder = folder.rstrip(os.sep)
    parent, name = os.path.split(folder)
    entry = f"{folder}/__init__.py"
    spec = importlib.util.spec_from_file_location(
        name, entry, loader=_UncachedLoader(name, entry), submodule_search_locations=[folder]
    )
    if spec is None or spec.loader is None:
        raise PluginInvalid(f"Failed to import plugin module '{name}': it is no package")
    module = importlib.util.module_from_spec(spec)
    previous = dict(sys.modules)
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
    """Undo the import of a package, so that the next run tries again from its first line."""
    for module in [m for m in sys.modules if m == name or m.startswith(f"{name}.")]:
        del sys.modules[module]
    if name in previous:
        sys.modules[name] = previous[name]
