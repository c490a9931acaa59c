"""Plugins as functions to call.

A single file is compiled once per content and executed for each event in fresh globals, as Core
does: module state does not survive, and the globals have no `__name__` and no `__file__`. A folder
is imported once, as a package with its own name; see `worker.packages`.

One `Loader` serves all lanes of a process; its lock guards its fields.

Source: InfluxDB 3 Core plugin API, "What a plugin is" and "Entry points".
"""

from __future__ import annotations

import builtins
import linecache
import threading
from collections.abc import Callable
from types import CodeType, ModuleType
from typing import Any

from worker import line_builder
from worker.api import QueryError
from worker.packages import PluginInvalid, import_package
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
            module = self._modules[folder] = import_package(folder)
        return module


def _pick(names: dict[str, Any], name: str) -> Callable[..., object]:
    function: Callable[..., object] | None = names.get(name)
    if function is None:
        raise PluginInvalid(
            f"the {name} function is not present in the plugin. "
            f"Should be defined as: {_SIGNATURES[name]}"
        )
    return function
