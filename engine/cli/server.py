"""Run one engine until a signal or a failure ends it."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import metadata
from types import FrameType
from typing import TYPE_CHECKING

from engine.cli.address import url
from engine.cli.failures import CommandFailed

if TYPE_CHECKING:
    from engine.app import Engine
    from engine.config import Config
    from engine.sandbox.report import Report

__all__ = ["run_server"]

_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_SIGNAL_STATUS = 128  # plus its number, as a shell counts a program that a signal ended
_LOOK_S = 0.25


def run_server(settings: Mapping[str, object], *, verbose: bool) -> None:
    """Start a server and wait for its end.

    Args:
        settings: see `Config.from_mapping`.
        verbose: whether every step is logged.

    Raises:
        CommandFailed: it could not start, or failed.
    """
    with _signals() as signals:
        from engine.app import Engine
        from engine.config import Config
        from engine.errors import EngineError
        from engine.logs import set_up_logging

        set_up_logging("DEBUG" if verbose else "INFO", sys.stderr)
        try:
            config = Config.from_mapping(settings)
            engine = Engine(config)
            engine.start()
        except (EngineError, OSError) as error:
            raise CommandFailed(str(error)) from error
        _run(engine, config, signals)


class _Signals:
    """Remembers the first signal to stop; the second ends the process on the spot."""

    def __init__(self) -> None:
        self.has_come = False

    def take(self, number: int, _frame: FrameType | None) -> None:
        # Only a flag: a handler may interrupt whoever holds the lock of an event.
        if self.has_come:
            os._exit(_SIGNAL_STATUS + number)
        self.has_come = True


def _run(engine: Engine, config: Config, signals: _Signals) -> None:
    try:
        if not signals.has_come:
            print(_ready_line(engine.address, config, engine.sandbox), flush=True)
        while not signals.has_come and not engine.wait(_LOOK_S):
            pass
    finally:
        failure = engine.stop()
    if failure is not None:
        raise CommandFailed(failure)


@contextmanager
def _signals() -> Iterator[_Signals]:
    signals = _Signals()
    before = {number: signal.signal(number, signals.take) for number in _STOP_SIGNALS}
    try:
        yield signals
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _ready_line(address: tuple[str, int], config: Config, report: Report | None) -> str:
    return (
        f"Bulkhead {metadata.version('bulkhead-engine')} ready: {url(address)}  "
        f"plugins: {config.plugin_dir}  data: {config.data_dir}  "
        f"sandbox: {_sandbox(config.sandbox.mode, report)}  tokens: not in force"
    )


def _sandbox(mode: str, report: Report | None) -> str:
    if mode == "off" or report is None:
        return "off (plugins are not confined)"
    if mode == "required" and not report.level.may_run_plugins:
        return f"level {report.level.value} (too little: no plugin is run; bulkhead show sandbox)"
    if report.broken:
        return (
            f"level {report.level.value} ({len(report.broken)} of {len(report.promises)} promises "
            "not kept; bulkhead show sandbox)"
        )
    return f"level {report.level.value}"
