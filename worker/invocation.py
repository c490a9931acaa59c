"""One event from its arrival to its result, in the lane's own thread.

The plugin gets plain positional arguments, as in Core. Whatever it raises ends the run as a fault;
SystemExit and KeyboardInterrupt are no exceptions to that. Buffered lines leave before the result,
copies of cache values after it.

Source: InfluxDB 3 Core plugin API, "Entry points", "Exceptions and error texts".
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from types import TracebackType

from worker.answering import deliver
from worker.api import Local, buffered_lines, clean
from worker.cache import Namespace
from worker.lane import Lane
from worker.loader import Loader, PluginInvalid
from worker.mirror import Mirrors
from worker.response import InvalidResponse, make_response
from worker.rows import rows_of
from worker.wire import Fault, LocalWireError
from worker.wire import messages as m
from worker.wire.faults import CANCELLED, PLUGIN_INVALID, PLUGIN_RAISED

__all__ = ["Invoker", "Run"]

Run = m.WalRun | m.ScheduledRun | m.RequestRun
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)  # noqa: UP017 - Python 3.10 has no UTC
_OWN_FRAMES = __name__.rpartition(".")[0] + "."


class Invoker:
    """Runs events of one lane; namespace, loader and mirrors are shared by the lanes."""

    def __init__(
        self,
        lane: Lane,
        loader: Loader,
        namespace: Namespace,
        mirrors: Mirrors,
        *,
        database: str,
        arguments: dict[str, str] | None,
    ) -> None:
        self._lane = lane
        self._loader = loader
        self._namespace = namespace
        self._mirrors = mirrors
        self._database = database
        self._arguments = arguments

    def run(self, event: Run) -> None:
        """Run the plugin on an event and send the result."""
        local = Local(self._lane, self._namespace, self._database)
        fault: Fault | None = None
        response: m.Response | None = None
        self._lane.owner = local
        try:
            response = self._invoke(local, event)
        except BaseException as error:  # noqa: BLE001 - the plugin may raise anything
            fault = self._fault(error)
        self._lane.owner = None
        lines = [] if fault else buffered_lines(local)
        self._send_result(lines, m.Result(fault, response))
        self._mirrors.send(self._lane.note)

    def _invoke(self, local: Local, event: Run) -> m.Response | None:
        function = self._loader.entry_point(_ENTRY_POINTS[type(event)])
        returned = self._call(function, local, event)
        if type(event) is not m.RequestRun:
            return None
        return deliver(self._lane, local, make_response(returned))

    def _call(self, function: Callable[..., object], local: Local, event: Run) -> object:
        args = None if self._arguments is None else dict(self._arguments)
        match event:
            case m.WalRun(_, tables):
                batches = [{"table_name": t.table, "rows": rows_of(t)} for t in tables]
                return function(local, batches, args)
            case m.ScheduledRun(_, time_ns):
                return function(local, _moment(time_ns).replace(tzinfo=None), args)
            case m.RequestRun(_, query, headers, body):
                try:
                    return function(local, query, headers, body, args)
                except BaseException as error:
                    raise _CallFailed from error

    def _send_result(self, lines: list[m.Lines], result: m.Result) -> None:
        try:
            for part in lines:
                self._lane.send(part)
            self._lane.send(result)
        except LocalWireError as error:
            # One oversized answer ends this run, not the process.
            self._lane.send(m.Result(Fault(PLUGIN_RAISED, clean(str(error))), None))

    def _fault(self, error: BaseException) -> Fault:
        prefix = ""
        if isinstance(error, _CallFailed) and error.__cause__ is not None:
            prefix, error = "Python function call failed: ", error.__cause__
        if isinstance(error, PluginInvalid | InvalidResponse):
            code = PLUGIN_INVALID if isinstance(error, PluginInvalid) else PLUGIN_RAISED
            return Fault(code, clean(_text_of(error)), _traceback_of(error.__cause__))
        is_cancelled = self._lane.is_cancelled and isinstance(error, KeyboardInterrupt)
        text = f"{prefix}{type(error).__qualname__}: {_text_of(error)}"
        code = CANCELLED if is_cancelled else PLUGIN_RAISED
        return Fault(code, clean(text), _traceback_of(error))


class _CallFailed(Exception):
    """The call itself has raised its cause, in contrast to loading or answering."""


_ENTRY_POINTS: dict[type[Run], str] = {
    m.WalRun: "process_writes",
    m.ScheduledRun: "process_scheduled_call",
    m.RequestRun: "process_request",
}


def _moment(time_ns: int) -> datetime:
    """Return the time cut to whole seconds."""
    return _EPOCH + timedelta(seconds=time_ns // 1_000_000_000)


def _text_of(error: BaseException) -> str:
    try:
        return str(error)
    except BaseException:  # noqa: BLE001 - it runs code of the plugin
        return "<exception str() failed>"


def _traceback_of(error: BaseException | None) -> str:
    """Format an error with the frames of the plugin and what it called."""
    if error is None:
        return ""
    try:
        frames = _skip_own_frames(error.__traceback__)
        return clean("".join(traceback.format_exception(type(error), error, frames)))
    except BaseException as failure:  # noqa: BLE001 - it runs code of the plugin
        return f"the traceback cannot be shown: {type(failure).__name__}"


def _skip_own_frames(frames: TracebackType | None) -> TracebackType | None:
    while frames is not None:
        module = frames.tb_frame.f_globals.get("__name__", "")
        if not str(module).startswith((_OWN_FRAMES, "importlib.", "<frozen")):
            return frames
        frames = frames.tb_next
    return None
