"""The demonstration from start to end.

A private server, triggers created over HTTP, clients that write and ask for some seconds, one
plugin that ends its process by SIGSEGV in the middle; then everything is counted. Runs in the
main thread, which is where Ctrl-C arrives.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from types import FrameType

from rich.console import Console

from engine.demo.client import Connection, Refused
from engine.demo.figures import Figures, checks, collect, rows_seen
from engine.demo.load import Client, caller, writer
from engine.demo.report import show_commands, show_report
from engine.demo.scenario import DOOR_LINE, Scenario, Trigger, triggers
from engine.demo.server import NotStarted, PrivateServer, private_server

__all__ = ["run"]

_LOOK_S = 0.5
_PLAIN_LINE_EVERY_S = 3.0
_PLAIN_WIDTH = 100
_INTERRUPTED = 130
_ON_THEIR_WAY = (
    "SELECT count(*) AS n FROM system.processing_engine_triggers "
    "WHERE state IN ('building', 'starting')"
)


def run(*, keep: bool = False, scenario: Scenario | None = None) -> int:
    """Play the demonstration.

    Args:
        keep: leave the server up at the end, until Ctrl-C.
        scenario: how much of everything; the usual amount when None.

    Returns:
        0 when every promise was kept, 1 when one was broken, 130 after Ctrl-C.
    """
    console = Console(width=None if Console().is_terminal else _PLAIN_WIDTH)
    try:
        with _end_by_signal():
            return _play(console, scenario or Scenario(), keep=keep)
    except (NotStarted, Refused, OSError) as error:
        console.print(f"demo: {error}", style="red", markup=False)
        return 1
    except KeyboardInterrupt:
        console.print("demo: interrupted; the server has been stopped")
        return _INTERRUPTED


def _play(console: Console, scenario: Scenario, *, keep: bool) -> int:
    console.print("Starting a private server and its plugin environment ...")
    with private_server() as server:
        console.print(f"Server at {server.url}, sandbox: {server.sandbox}", highlight=False)
        wanted = triggers(scenario)
        with Connection(server.url) as connection:
            connection.create_database()
            connection.write(DOOR_LINE)
            for trigger in wanted:
                connection.create_trigger(trigger)
            console.print("Triggers: " + ", ".join(trigger.name for trigger in wanted))
            figures = _measure(console, connection, server, wanted, scenario)
        found = checks(figures)
        show_report(console, figures, found, wanted, scenario)
        if not server.is_running:
            console.print(server.last_words(), style="dim", markup=False)
        status = 0 if all(check.is_kept for check in found) else 1
        if keep and server.is_running:
            _wait_for_interrupt(console, server)
        return status


def _measure(
    console: Console,
    connection: Connection,
    server: PrivateServer,
    wanted: Sequence[Trigger],
    scenario: Scenario,
) -> Figures:
    _await_workers(console, connection, scenario.settle_s)
    writers = [writer(number, server.url, scenario) for number in range(scenario.writers)]
    asker = caller(server.url, scenario)
    with _running(writers):
        _await_rows(writers)
        with _running([asker]):
            _watch(console, server, writers, asker, scenario)
    rows = sum(client.measured.rows for client in writers)
    _settle(console, connection, rows, scenario.settle_s)
    return collect(
        connection,
        [client.measured for client in writers],
        asker.measured,
        wanted,
        is_same_server=server.is_running,
    )


@contextmanager
def _running(clients: Sequence[Client]) -> Iterator[None]:
    with ExitStack() as stopping:
        for client in clients:
            client.start()
            stopping.callback(client.stop)
        yield


def _watch(
    console: Console,
    server: PrivateServer,
    writers: Sequence[Client],
    asker: Client,
    scenario: Scenario,
) -> None:
    """Show how far the clients have come until the time is over."""
    begun_s = time.monotonic()
    shown_s = begun_s
    tick = threading.Event()
    with console.status("writing") as status:
        while (elapsed_s := time.monotonic() - begun_s) < scenario.duration_s:
            tick.wait(min(_LOOK_S, scenario.duration_s - elapsed_s))
            rows = sum(client.measured.rows for client in writers)
            asked = len(asker.measured.waits)
            text = f"{elapsed_s:4.0f} s: {rows:,} rows written, {asked:,} requests answered"
            status.update(text)
            if not console.is_terminal and time.monotonic() - shown_s > _PLAIN_LINE_EVERY_S:
                shown_s = time.monotonic()
                console.print(text, highlight=False)
            if not server.is_running:
                raise NotStarted(f"the server has ended:\n{server.last_words()}")


def _await_rows(writers: Sequence[Client]) -> None:
    """Wait until there is a table to be asked for."""
    tick = threading.Event()
    while not any(client.measured.rows or client.measured.failures for client in writers):
        tick.wait(_LOOK_S)


def _await_workers(console: Console, connection: Connection, limit_s: float) -> None:
    """Wait until the plugins' environment is made and their workers are there."""
    deadline_s = time.monotonic() + limit_s
    tick = threading.Event()
    with console.status("starting the workers"):
        while time.monotonic() < deadline_s and connection.sql(_ON_THEIR_WAY) != [{"n": 0}]:
            tick.wait(_LOOK_S)


def _settle(console: Console, connection: Connection, rows: int, limit_s: float) -> None:
    """Wait until the plugins have seen all rows, or do not come any further."""
    deadline_s = time.monotonic() + limit_s
    tick = threading.Event()
    with console.status("waiting for the plugins to catch up"):
        while time.monotonic() < deadline_s:
            if all(seen >= rows for seen in rows_seen(connection).values()):
                return
            tick.wait(_LOOK_S)


def _wait_for_interrupt(console: Console, server: PrivateServer) -> None:
    show_commands(console, server.url)
    tick = threading.Event()
    try:
        while server.is_running:
            tick.wait(_LOOK_S)
    except KeyboardInterrupt:
        console.print("Stopping the server ...")


@contextmanager
def _end_by_signal() -> Iterator[None]:
    """Let SIGTERM end the demonstration as Ctrl-C does, so that nothing is left behind."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
