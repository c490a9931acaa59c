"""`serve`: settings from options and environment."""

from __future__ import annotations

import re
import socket
import sys
from pathlib import Path
from typing import Annotated

import typer

from engine.cli import checks
from engine.cli.address import is_loopback, parse_bind
from engine.cli.package_options import (
    BuildFromSource,
    EnvironmentRetention,
    PackageCacheDir,
    PackageHost,
    PackageManager,
    PythonDir,
    VirtualEnvLocation,
    WheelDir,
    package_settings,
)
from engine.cli.sandbox_options import (
    AllowGrant,
    BubblewrapPath,
    DefaultGrant,
    DefaultLimit,
    MaxLimit,
    Sandbox,
    sandbox_settings,
)
from engine.cli.server import run_server
from engine.cli.storage_options import (
    HardDeleteDefaultDuration,
    HotBufferLimit,
    PersistAge,
    PersistBytes,
    RetentionCheckInterval,
    WalMaxLagSize,
    durations,
    sizes,
)

__all__ = ["serve"]


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
    plugin_repo: Annotated[
        str | None,
        typer.Option(
            envvar="INFLUXDB3_PLUGIN_REPO",
            metavar="URL",
            help="Where plugins named gh:<path> come from; InfluxData's repository if absent.",
        ),
    ] = None,
    virtual_env_location: VirtualEnvLocation = None,
    package_manager: PackageManager = "discover",
    wheel_dir: WheelDir = None,
    package_cache_dir: PackageCacheDir = None,
    build_from_source: BuildFromSource = False,
    python_dir: PythonDir = [],  # noqa: B006  Typer makes a new list for each call
    package_host: PackageHost = [],  # noqa: B006
    environment_retention: EnvironmentRetention = None,
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
            callback=checks.duration("--wal-flush-interval"),
            help="How often WAL triggers fire.",
        ),
    ] = "1s",
    hot_buffer_limit: HotBufferLimit = None,
    persist_bytes: PersistBytes = None,
    persist_age: PersistAge = None,
    wal_max_lag_size: WalMaxLagSize = None,
    retention_check_interval: RetentionCheckInterval = None,
    hard_delete_default_duration: HardDeleteDefaultDuration = None,
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
    sandbox: Sandbox = "required",
    default_grant: DefaultGrant = [],  # noqa: B006
    default_limit: DefaultLimit = [],  # noqa: B006
    max_limit: MaxLimit = [],  # noqa: B006
    allow_grant: AllowGrant = [],  # noqa: B006
    bwrap: BubblewrapPath = "",
    max_deaths: Annotated[
        int,
        typer.Option(
            envvar="BULKHEAD_MAX_DEATHS",
            metavar="N",
            min=1,
            help="Workers that one event may kill before it is given up.",
        ),
    ] = 3,
    max_attempts: Annotated[
        int,
        typer.Option(
            envvar="BULKHEAD_MAX_ATTEMPTS",
            metavar="N",
            min=1,
            help="Runs of one event under the error behavior retry, before it is a dead letter.",
        ),
    ] = 10,
    max_causes: Annotated[
        int,
        typer.Option(
            envvar="BULKHEAD_MAX_CAUSES",
            metavar="N",
            min=1,
            help="Runs that may cause each other by what they write.",
        ),
    ] = 16,
    restrict_plugin_triggers_to: Annotated[
        str | None,
        typer.Option(
            envvar="INFLUXDB3_RESTRICT_PLUGIN_TRIGGERS_TO",
            metavar="KINDS",
            callback=checks.kinds,
            help="Kinds of triggers that may be created: wal, schedule, request; all if absent.",
        ),
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log every step.")] = False,
) -> None:
    """Start the server.

    It runs until SIGINT or SIGTERM; a second signal ends it at once.
    """
    host, port = parse_bind(http_bind)
    data = (data_dir or Path("~/.influxdb3")).expanduser().absolute()
    plugins = plugin_dir.expanduser().absolute() if plugin_dir else data / "plugins"
    settings: dict[str, object] = {
        "node_id": node_id or _own_node_id(),
        "data_dir": str(data),
        "plugin_dir": str(plugins),
        "http": {
            "bind_host": host,
            "bind_port": port,
            "max_request_bytes": max_http_request_size,
            "without_auth": without_auth,
        },
        "wal": {
            "flush_interval_s": checks.duration_s(wal_flush_interval, "--wal-flush-interval"),
            **sizes({"max_lag_bytes": wal_max_lag_size}),
        },
        "storage": {
            **sizes({"hot_buffer_bytes": hot_buffer_limit, "persist_bytes": persist_bytes}),
            **durations(
                {
                    "persist_age_s": persist_age,
                    "retention_check_s": retention_check_interval,
                    "hard_delete_default_s": hard_delete_default_duration,
                }
            ),
        },
        "workers": {
            "max_deaths": max_deaths,
            "max_attempts": max_attempts,
            "max_causes": max_causes,
            **_own_kinds(restrict_plugin_triggers_to),
        },
        "packages": package_settings(
            package_manager,
            environment_dir=virtual_env_location,
            wheel_dir=wheel_dir,
            cache_dir=package_cache_dir,
            build_from_source=build_from_source,
            python_dirs=python_dir,
            hosts=package_host,
            retention=environment_retention,
        ),
        "sandbox": sandbox_settings(
            sandbox,
            bwrap=bwrap,
            default_grants=default_grant,
            default_limits=default_limit,
            max_limits=max_limit,
            allowed_grants=allow_grant,
        ),
    }
    if plugin_repo is not None:
        settings["plugin_repo"] = plugin_repo
    _warn_when_open(host)
    run_server(settings, verbose=verbose)


def _own_kinds(text: str | None) -> dict[str, object]:
    return {} if text is None else {"allowed_kinds": text.split(",")}


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
