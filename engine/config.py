"""Settings of the server, read once at the edge.

One frozen dataclass per subsystem; each default stands beside its field with the reason for it.
Durations are seconds, sizes bytes. `Config.from_mapping` is the way in from outside: it refuses
unknown settings, wrong types and bad values, and names the path of the setting.
Pure; the values may be shared by all threads.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from engine.errors import InvalidConfig, InvalidParameter
from engine.model.grants import GRANT_KINDS, Grants, parse_grants
from engine.model.limits import Limits, parse_limits, split_limits
from engine.settings import NOT_NEGATIVE, PORT, POSITIVE, check_choice, read_section

__all__ = [
    "Config",
    "HttpConfig",
    "PackagesConfig",
    "QueryConfig",
    "SandboxConfig",
    "StorageConfig",
    "WalConfig",
    "WorkersConfig",
    "check_host_and_port",
]

_KIB = 1024
_MIB = 1024 * _KIB
_GIB = 1024 * _MIB
_SANDBOX_MODES = ("required", "best-effort", "off")
# What a limit is when neither the trigger nor the server's user has said.
_LIMITS = ("memory=512MiB", "processes=64", "disk=256MiB", "time=5m")
_PACKAGE_MANAGERS = ("discover", "uv", "pip", "disabled")
_KINDS = ("wal", "schedule", "request")


@dataclass(frozen=True, slots=True)
class HttpConfig:
    """The HTTP edge."""

    # Reachable from this machine only, as long as tokens are not enforced.
    bind_host: str = "127.0.0.1"
    # The port of InfluxDB 3; 0 takes a free one.
    bind_port: int = field(default=8181, metadata=PORT)
    # Of a body, before and after decompression; as InfluxDB 3 Core.
    max_request_bytes: int = field(default=10 * _MIB, metadata=POSITIVE)
    # For running requests after a stop; with the grace of workers it stays below 5 s.
    grace_s: float = field(default=2.0, metadata=NOT_NEGATIVE)
    # Whoever opens the server to all has to say so.
    without_auth: bool = False


@dataclass(frozen=True, slots=True)
class WalConfig:
    """The write-ahead log."""

    # How often WAL triggers fire; as InfluxDB 3 Core. Writes are durable before.
    flush_interval_s: float = field(default=1.0, metadata=POSITIVE)
    # Small enough to read one again quickly, large enough that changing files is rare.
    segment_bytes: int = field(default=64 * _MIB, metadata=POSITIVE)
    # Of writes that wait for the disk; beyond it clients are told to come back.
    max_pending_bytes: int = field(default=256 * _MIB, metadata=POSITIVE)
    # Kept for triggers that lag; beyond it they lose the oldest rows and not the disk to all.
    max_lag_bytes: int = field(default=8 * _GIB, metadata=POSITIVE)


@dataclass(frozen=True, slots=True)
class StorageConfig:
    """Rows in memory and in files."""

    # A server with 4 GiB still has room for queries; beyond it writes are refused.
    hot_buffer_bytes: int = field(default=2 * _GIB, metadata=POSITIVE)
    # Of one table in memory, before its rows go to files; large enough for few and good files.
    persist_bytes: int = field(default=32 * _MIB, metadata=POSITIVE)
    # Of the oldest row of a table in memory; a restart reads about so much of the log again.
    persist_age_s: float = field(default=600.0, metadata=POSITIVE)
    # Of all tables in memory; many small tables reach it before one of them is large.
    persist_total_bytes: int = field(default=256 * _MIB, metadata=POSITIVE)
    # Between looks for rows that are too old and deletions that are due; as InfluxDB 3 Core.
    retention_check_s: float = field(default=1800.0, metadata=POSITIVE)
    # From a deletion to the removal of the rows, unless it says; as InfluxDB 3 Core.
    hard_delete_default_s: float = field(default=259_200.0, metadata=NOT_NEGATIVE)


@dataclass(frozen=True, slots=True)
class QueryConfig:
    """SQL."""

    # Each uses several cores by itself; two keep a long query from blocking a short one.
    workers: int = field(default=2, metadata=POSITIVE)
    # Queries that wait; beyond it clients are told to come back.
    max_pending: int = field(default=128, metadata=POSITIVE)
    # Of one answer; it is held in memory twice while it is rendered.
    max_result_bytes: int = field(default=256 * _MIB, metadata=POSITIVE)


@dataclass(frozen=True, slots=True)
class WorkersConfig:
    """Worker processes of plugins."""

    # Until a worker is ready; large libraries take seconds to import from a cold disk.
    start_timeout_s: float = field(default=30.0, metadata=POSITIVE)
    # Of workers by one event, before that event is given up: accidents are rarer than poison.
    max_deaths: int = field(default=3, metadata=POSITIVE)
    # Of one event under the error behavior retry, before it is given up; about ten minutes.
    max_attempts: int = field(default=10, metadata=POSITIVE)
    # Runs that cause each other through the tables they write; as a plugin that reads its output.
    max_causes: int = field(default=16, metadata=POSITIVE)
    # Between the request to end and the kill; enough for a `finally` that closes a connection.
    cancel_grace_s: float = field(default=2.0, metadata=NOT_NEGATIVE)
    # Of one event; as dicts in the worker such an event takes about 50 MB.
    max_event_rows: int = field(default=50_000, metadata=POSITIVE)
    # Of one event as columns; wide rows reach it before the number of rows does.
    max_event_bytes: int = field(default=16 * _MIB, metadata=POSITIVE)
    # Of one cached value that outlives its worker; larger ones are lost when it dies.
    mirror_value_bytes: int = field(default=_MIB, metadata=NOT_NEGATIVE)
    # Runs of an asynchronous trigger at the same time, each a thread of its worker.
    async_lanes: int = field(default=4, metadata=POSITIVE)
    # Kinds of triggers that may be created.
    allowed_kinds: tuple[str, ...] = _KINDS
    # Requests that wait for one trigger; beyond it clients are told to come back.
    request_queue: int = field(default=64, metadata=POSITIVE)


@dataclass(frozen=True, slots=True)
class PackagesConfig:
    """Packages of plugins, and the environments that they are installed in."""

    # What installs them; `discover` is uv, which comes with the server.
    manager: str = "discover"
    # The environment that triggers without one of their own share; `.venv` in the plugin folder
    # if empty.
    environment_dir: str = ""
    # Of wheels, instead of the package index; empty for the index.
    wheel_dir: str = ""
    # Of what was fetched; `package-cache` in the data folder if empty.
    cache_dir: str = ""
    # Whether packages without a wheel are taken: their code runs to build them.
    build_from_source: bool = False
    # In which Pythons are looked for, beside the places where they usually are.
    python_dirs: tuple[str, ...] = ()
    # As `host:port`, that may be fetched from beside the index itself.
    hosts: tuple[str, ...] = ()
    # Of one step of an installation; the large packages bring hundreds of megabytes.
    install_timeout_s: float = field(default=600.0, metadata=POSITIVE)
    # After which an environment that nothing uses is removed; a rollback may want it before.
    unused_days: float = field(default=7.0, metadata=NOT_NEGATIVE)


@dataclass(frozen=True, slots=True)
class SandboxConfig:
    """What plugins may do, and what keeps them from doing more."""

    # `required` runs no plugin that is not confined, `best-effort` takes what the machine has.
    mode: str = "required"
    # What every trigger may reach beyond its own folder, as `env=NAME`; nothing unless said.
    default_grants: tuple[str, ...] = ()
    # As `memory=1GiB`, for what a trigger does not say. Most runs take milliseconds and a few
    # megabytes; forecasts and downsampling take minutes, numpy and pandas 200 MB.
    default_limits: tuple[str, ...] = _LIMITS
    # Above which no trigger's limit counts, in the same form.
    max_limits: tuple[str, ...] = ()
    # Kinds of grants that triggers may have; who creates a trigger asks, who runs the server rules.
    allowed_grants: tuple[str, ...] = GRANT_KINDS
    # The program bubblewrap; /usr/bin/bwrap if empty.
    bwrap: str = ""
    # Of a worker's private /tmp, and as much again of its /dev/shm; both are memory.
    tmp_bytes: int = field(default=64 * _MIB, metadata=POSITIVE)
    # Files in each of the two; every one of them costs the kernel memory of its own.
    tmp_inodes: int = field(default=16_384, metadata=POSITIVE)

    @property
    def limits(self) -> Limits:
        """What a limit is that a trigger does not say."""
        return _limits(self.default_limits).over(_limits(_LIMITS))

    @property
    def ceilings(self) -> Limits:
        """Above which no limit counts."""
        return _limits(self.max_limits)

    @property
    def run_timeout_s(self) -> float:
        """Of one run whose trigger does not say."""
        return self.limits_of(Limits()).time_s or math.inf

    def limits_of(self, own: Limits) -> Limits:
        """Return what counts for a trigger; all is said but `cpu`, which may be None."""
        return own.over(self.limits).capped(self.ceilings)

    def grants_of(self, own: Grants) -> Grants:
        """Return what is granted to a trigger, with what every trigger is granted."""
        return own.restricted(self.allowed_grants).joined(parse_grants(self.default_grants))


@dataclass(frozen=True, slots=True)
class Config:
    """All settings of one server."""

    node_id: str
    data_dir: str
    plugin_dir: str
    http: HttpConfig = field(default_factory=HttpConfig)
    wal: WalConfig = field(default_factory=WalConfig)
    storage: StorageConfig = field(default_factory=StorageConfig)
    query: QueryConfig = field(default_factory=QueryConfig)
    workers: WorkersConfig = field(default_factory=WorkersConfig)
    # Where plugins named `gh:` come from; as InfluxDB 3 Core.
    plugin_repo: str = "https://raw.githubusercontent.com/influxdata/influxdb3_plugins/main/"
    packages: PackagesConfig = field(default_factory=PackagesConfig)
    sandbox: SandboxConfig = field(default_factory=SandboxConfig)

    @classmethod
    def from_mapping(cls, settings: Mapping[str, object]) -> Config:
        """Return the settings of a mapping of names to values, sections being mappings again.

        Raises:
            InvalidConfig: as `wal.flush_interval_s: -1 is not > 0`.
        """
        config = read_section(cls, settings, "")
        for name in ("node_id", "data_dir", "plugin_dir"):
            if not getattr(config, name).strip():
                raise InvalidConfig(f"{name}: must not be empty")
        if not _is_web_url(config.plugin_repo):
            raise InvalidConfig(
                f"plugin_repo: {config.plugin_repo!r} is not a URL of http or https"
            )
        _check_sandbox(config.sandbox)
        check_choice("packages.manager", config.packages.manager, _PACKAGE_MANAGERS)
        for text in config.packages.hosts:
            check_host_and_port("packages.hosts", text)
        for name in config.workers.allowed_kinds:
            check_choice("workers.allowed_kinds", name, _KINDS)
        return config


def check_host_and_port(path: str, text: str) -> None:
    """Check that a setting is a host and a port, as `packages.example:443` or `[::1]:8080`.

    Raises:
        InvalidConfig: it is not.
    """
    try:
        (host,) = parse_grants([f"net={text}"]).hosts
    except (InvalidParameter, ValueError) as error:
        raise InvalidConfig(f"{path}: {text!r} is not HOST:PORT") from error
    if host.port is None:
        raise InvalidConfig(f"{path}: {text!r} is not HOST:PORT")


def _is_web_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        is_web = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
    return is_web and not parts.query and not parts.fragment and text.isprintable()


def _check_sandbox(sandbox: SandboxConfig) -> None:
    check_choice("sandbox.mode", sandbox.mode, _SANDBOX_MODES)
    for name in sandbox.allowed_grants:
        check_choice("sandbox.allowed_grants", name, GRANT_KINDS)
    name = "default_grants"
    try:
        parse_grants(sandbox.default_grants)
        name = "default_limits"
        _limits(sandbox.default_limits)
        name = "max_limits"
        _limits(sandbox.max_limits)
    except InvalidParameter as error:
        raise InvalidConfig(f"sandbox.{name}: {error}") from error


def _limits(texts: tuple[str, ...]) -> Limits:
    return parse_limits(split_limits(texts))
