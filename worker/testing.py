"""Test a plugin in plain pytest: no server, no process of its own.

    scene = Scene(queries={"FROM climate": [{"degrees": 31.5}]})
    run = run_schedule("plugins/watch.py", datetime(2025, 1, 1), scene=scene)
    assert run.lines == ["alerts degrees=31.5"]

The plugin meets the real API, cache, `LineBuilder` and reading of answers; only the engine behind
them is played, by a `Scene`. Importing this module makes `LineBuilder` and the errors of the API
built-in names, as they are where plugins run. Used by one thread.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import cast

from worker.api import Buildable, Local, QueryError
from worker.lane import Lane
from worker.line_builder import LineBuilder
from worker.loader import Loader, install_builtins
from worker.response import make_response
from worker.scene import Answer, Question, Row, Run, Scene, Write
from worker.streaming import Streamed
from worker.wire import messages as m

__all__ = [
    "Answer",
    "FakeLocal",
    "LineBuilder",
    "LinesRefused",
    "Plugin",
    "QueryError",
    "Question",
    "Run",
    "Scene",
    "Write",
    "run_request",
    "run_schedule",
    "run_wal",
]

Plugin = Callable[..., object] | str | os.PathLike[str]
"""An entry point, or the path of a plugin: a file, or a folder with `__init__.py`."""

install_builtins()
_loader = Loader()
_imported: set[str] = set()


class LinesRefused(Exception):
    """What the server would log when the buffered lines of a run are refused."""


class FakeLocal(Local):
    """`influxdb3_local` in a test: the same attributes and behaviour, with a scene behind them.

    Unlike a run of the server it does not end; buffered writes are in `scene.writes` at once.
    """

    __slots__ = ("_scene",)

    def __init__(self, scene: Scene | None = None) -> None:
        self._scene = Scene() if scene is None else scene
        lane = _SceneLane(self._scene)
        # The API asks of a lane no more than what `_SceneLane` has.
        super().__init__(cast("Lane", lane), self._scene.namespace, self._scene.database)
        lane.owner = self

    def _buffer(self, database: str | None, line_builder: Buildable) -> None:
        self._scene.record(database, self._build(database, line_builder), is_sync=False)


class _SceneLane:
    """Stands where a run has its lane."""

    is_cancelled = False

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self.owner: object = None

    def check(self) -> None:
        """Nothing is ever cancelled."""

    def note(self, message: m.Log) -> None:
        self._scene.logs.append((message.level, message.text))

    def call(self, message: m.Message, _owner: object, **_options: object) -> m.Message:
        return self._scene.answer(message)


def run_wal(
    plugin: Plugin,
    tables: Mapping[str, Iterable[Row]],
    args: Mapping[str, str] | None = None,
    *,
    scene: Scene | None = None,
) -> Run:
    """Run a plugin on written rows.

    Args:
        plugin: a function, or the path of a plugin with `process_writes`.
        tables: rows by table; a row without `time` gets the scene's.
        args: of the trigger.
        scene: shared by runs that are to find each other's cache; a new one by default.

    Raises:
        LinesRefused: the scene's `validate` refuses what was buffered.
        BaseException: what the plugin raises; its buffered lines are dropped.
    """
    scene = Scene() if scene is None else scene
    batches = [
        {
            "table_name": table,
            "rows": [{**row, "time": row.get("time", scene.now_ns)} for row in rows],
        }
        for table, rows in tables.items()
    ]
    function = _entry_point(plugin, "process_writes")
    return _run(scene, lambda local: function(local, batches, _copied(args)))


def run_schedule(
    plugin: Plugin,
    call_time: datetime,
    args: Mapping[str, str] | None = None,
    *,
    scene: Scene | None = None,
) -> Run:
    """Run a plugin for a scheduled time.

    Args:
        plugin: a function, or the path of a plugin with `process_scheduled_call`.
        call_time: naive in UTC, or of any zone; the plugin gets whole seconds, naive in UTC.
        args: of the trigger.
        scene: as for `run_wal`.

    Raises:
        LinesRefused, BaseException: as `run_wal`.
    """
    scene = Scene() if scene is None else scene
    if call_time.tzinfo is not None:
        call_time = call_time.astimezone(timezone.utc).replace(tzinfo=None)  # noqa: UP017 - Python 3.10 has no UTC
    moment = call_time.replace(microsecond=0)
    function = _entry_point(plugin, "process_scheduled_call")
    return _run(scene, lambda local: function(local, moment, _copied(args)))


def run_request(
    plugin: Plugin,
    query: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
    body: bytes = b"",
    args: Mapping[str, str] | None = None,
    *,
    scene: Scene | None = None,
) -> Run:
    """Run a plugin on a request.

    Args:
        plugin: a function, or the path of a plugin with `process_request`.
        query: parameters.
        headers: the plugin gets their names in lower case, and no `authorization`.
        body: after decompression.
        args: of the trigger.
        scene: as for `run_wal`.

    Raises:
        InvalidResponse: what the plugin returns is no response.
        LinesRefused, BaseException: as `run_wal`.
    """
    scene = Scene() if scene is None else scene
    lowered = {name.lower(): value for name, value in (headers or {}).items()}
    lowered.pop("authorization", None)
    function = _entry_point(plugin, "process_request")
    answers: list[Answer] = []

    def respond(local: FakeLocal) -> None:
        returned = function(local, dict(query or {}), lowered, body, _copied(args))
        answers.append(_whole(make_response(returned)))

    return _run(scene, respond, answers)


def _run(
    scene: Scene, call: Callable[[FakeLocal], object], answers: list[Answer] | None = None
) -> Run:
    writes, logs = len(scene.writes), len(scene.logs)
    try:
        call(FakeLocal(scene))
        _validate(scene, scene.writes[writes:])
    except BaseException:
        scene.writes[writes:] = [write for write in scene.writes[writes:] if write.is_sync]
        raise
    response = answers[0] if answers else None
    return Run(scene, tuple(scene.writes[writes:]), tuple(scene.logs[logs:]), response)


def _validate(scene: Scene, writes: list[Write]) -> None:
    """Check buffered lines, those of one database together."""
    if scene.validate is None:
        return
    buffered: dict[str, list[str]] = {}
    for write in writes:
        if not write.is_sync:
            buffered.setdefault(write.database, []).extend(write.lines)
    for database, lines in buffered.items():
        try:
            scene.validate(database, lines)
        except Exception as error:
            where = f"error writing back lines to {database}"
            reason = f"{where}: Cannot write: line protocol parse failed: {error}"
            raise LinesRefused(reason) from error


def _entry_point(plugin: Plugin, name: str) -> Callable[..., object]:
    """Return the function to call: of a file in fresh globals, of a folder as a package."""
    if callable(plugin):
        return plugin
    path = Path(plugin).resolve()
    if path.is_dir():
        _forget_namesakes(path)
        _loader.load(m.Load(path.name, None, str(path)))
    else:
        _loader.load(m.Load(path.name, path.read_text(encoding="utf-8"), None))
    return _loader.entry_point(name)


def _forget_namesakes(folder: Path) -> None:
    """Let a folder not meet modules of another one with its name."""
    if str(folder) in _imported:
        return
    _imported.add(str(folder))
    for module in [name for name in sys.modules if name.startswith(f"{folder.name}.")]:
        del sys.modules[module]


def _whole(response: m.Response | Streamed) -> Answer:
    body = response.body if isinstance(response, m.Response) else b"".join(response.parts)
    return Answer(response.status, response.headers, body)


def _copied(args: Mapping[str, str] | None) -> dict[str, str] | None:
    return None if args is None else dict(args)
