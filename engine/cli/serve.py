"""`serve`: settings from options and environment, one engine, and its end by signal."""

from __future__ import annotations

import os
import re
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from engine.cli import checks
from engine.cli.address import is_loopback, parse_bind, url
from engine.cli.failures import CommandFailed

if TYPE_CHECKING:
    from engine.app import Engine
    from engine.config import Config

__all__ = ["serve"]

_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_SIGNAL_STATUS = 128  # plus its number, as a shell counts a program that a signal ended
_LOOK_S = 0.25


def serve(
    *,
    node_id: Annotated[
        str | None,
        typer.Option(
            envvar="INFLUXDB3_NODE_IDENTIFIER_PREFIX",
            metavar="NODE_ID",
            callback=checks.node_id,
            help="Name of this server and of its folder; <hostname>-node if absent.",
        ),
    ] = None,
    object_store: Annotated[  # noqa: ARG001  its callback allows one value only
        str,
        typer.Option(
            envvar="INFLUXDB3_OBJECT_STORE",
            metavar="STORE",
            callback=checks.object_store,
            help="file",
        ),
    ] = "file",
    data_dir: Annotated[
        Path | None,
        typer.Option(
            envvar="INFLUXDB3_DB_DIR",
            metavar="DIR",
            help="Where data is kept; ~/.influxdb3 if absent.",
        ),
    ] = None,
    plugin_dir: Annotated[
        Path | None,
        typer.Option(
            envvar="INFLUXDB3_PLUGIN_DIR",
            metavar="DIR",
            help="Where plugins are; need not exist yet; <data-dir>/plugins if absent.",
        ),
    ] = None,
    http_bind: Annotated[
        str,
        typer.Option(
            envvar="INFLUXDB3_HTTP_BIND_ADDR",
            metavar="HOST:PORT",
            callback=checks.bind,
            help="Where to listen; port 0 takes a free one.",
        ),
    ] = "127.0.0.1:8181",
    wal_flush_interval: Annotated[
        str,
        typer.Option(
            envvar="INFLUXDB3_WAL_FLUSH_INTERVAL",
            metavar="DURATION",
            callback=checks.flush_interval,
            help="How often WAL triggers fire.",
        ),
    ] = "1s",
    hot_buffer_limit: Annotated[
        str | None,
        typer.Option(
            envvar="BULKHEAD_HOT_BUFFER_LIMIT",
            metavar="SIZE",
            callback=checks.hot_buffer,
            help="Memory for rows, as 2GiB; beyond it writes are refused.",
        ),
    ] = None,
    max_http_request_size: Annotated[
        int,
        typer.Option(
            envvar="INFLUXDB3_MAX_HTTP_REQUEST_SIZE",
            metavar="BYTES",
            min=1,
            help="Size of a request's body at most.",
        ),
    ] = 10 * 1024 * 1024,
    without_auth: Annotated[
        bool,
        typer.Option(
            "--without-auth",
            envvar="INFLUXDB3_START_WITHOUT_AUTH",
            help="Ask nobody for a token; this version never does.",
        ),
    ] = False,
    sandbox: Annotated[
        str,
        typer.Option(
            envvar="BULKHEAD_SANDBOX", metavar="MODE", callback=checks.sandbox, help="off"
        ),
    ] = "off",
    max_deaths: Annotated[
        int,
        typer.Option(
            envvar="BULKHEAD_MAX_DEATHS",
            metavar="N",
            min=1,
            help="Workers that one event may kill before it is given up.",
        ),
    ] = 3,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log every step.")] = False,
) -> None:
    """Start the server.

    It runs until SIGINT or SIGTERM; a second signal ends it at once.
    """
    chosen = _Chosen(
        node_id=node_id or _own_node_id(),
        data_dir=(data_dir or Path("~/.influxdb3")).expanduser().absolute(),
        plugin_dir=plugin_dir.expanduser().absolute() if plugin_dir else None,
        bind=parse_bind(http_bind),
    )
    settings: dict[str, object] = {
        "http": {
            "bind_host": chosen.bind[0],
            "bind_port": chosen.bind[1],
            "max_request_bytes": max_http_request_size,
            "without_auth": without_auth,
        },
        "wal": {"flush_interval_s": checks.seconds(wal_flush_interval)},
        "workers": {"max_deaths": max_deaths},
        "sandbox": sandbox,
    }
    if hot_buffer_limit is not None:
        settings["storage"] = {"hot_buffer_bytes": checks.byte_count(hot_buffer_limit)}
    _warn_when_open(chosen.bind[0])
    _serve(chosen, settings, verbose=verbose)


@dataclass(frozen=True, slots=True)
class _Chosen:
    node_id: str
    data_dir: Path
    plugin_dir: Path | None
    bind: tuple[str, int]

    @property
    def plugins(self) -> Path:
        return self.plugin_dir or self.data_dir / "plugins"


class _Signals:
    """Remembers the first signal to stop; the second ends the process on the spot."""

    def __init__(self) -> None:
        self.has_come = False

    def take(self, number: int, _frame: FrameType | None) -> None:
        # Only a flag: a handler may interrupt whoever holds the lock of an event.
        if self.has_come:
            os._exit(_SIGNAL_STATUS + number)
        self.has_come = True


def _serve(chosen: _Chosen, settings: dict[str, object], *, verbose: bool) -> None:
    with _signals() as signals:
        from engine.app import Engine
        from engine.config import Config
        from engine.errors import EngineError
        from engine.logs import set_up_logging

        set_up_logging("DEBUG" if verbose else "INFO", sys.stderr)
        try:
            config = Config.from_mapping(
                {
                    "node_id": chosen.node_id,
                    "data_dir": str(chosen.data_dir),
                    "plugin_dir": str(chosen.plugins),
                    **settings,
                }
            )
            engine = Engine(config)
            engine.start()
        except (EngineError, OSError) as error:
            raise CommandFailed(str(error)) from error
        _run(engine, config, signals)


def _run(engine: Engine, config: Config, signals: _Signals) -> None:
    try:
        if not signals.has_come:
            print(_ready_line(engine.address, config), flush=True)
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


def _ready_line(address: tuple[str, int], config: Config) -> str:
    return (
        f"Bulkhead {metadata.version('bulkhead-engine')} ready: {url(address)}  "
        f"plugins: {config.plugin_dir}  data: {config.data_dir}  "
        "sandbox: not in force (plugins are not confined)  tokens: not in force"
    )


def _own_node_id() -> str:
    host = re.sub(r"[^A-Za-z0-9_.-]", "-", socket.gethostname()).strip(".-") or "bulkhead"
    node_id = f"{host[:100]}-node"
    print(
        f"Using auto-generated node id: {node_id}. "
        "For production deployments, explicitly set --node-id",
        file=sys.stderr,
    )
    return node_id


def _warn_when_open(host: str) -> None:
    if not is_loopback(host):
        print(
            f"warning: listening on {host}, and tokens are not in force: "
            "whoever can reach this address can read, write and run plugins",
            file=sys.stderr,
        )
