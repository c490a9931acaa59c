"""Settings of the server, read once at the edge.

One frozen dataclass per subsystem; each default stands beside its field with the reason for it.
Durations are seconds, sizes bytes. `Config.from_mapping` is the way in from outside: it refuses
unknown settings, wrong types and bad values, and names the path of the setting.
Pure; the values may be shared by all threads.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields, is_dataclass
from typing import TYPE_CHECKING, TypeVar, get_origin, get_type_hints
from urllib.parse import urlsplit

from engine.errors import InvalidConfig

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

__all__ = [
    "Config",
    "HttpConfig",
    "QueryConfig",
    "StorageConfig",
    "WalConfig",
    "WorkersConfig",
]

_KIB = 1024
_MIB = 1024 * _KIB
_GIB = 1024 * _MIB
_LARGEST_PORT = 65_535
_SANDBOXES = ("off",)
_PACKAGE_MANAGERS = ("discover", "uv", "pip", "disabled")
_KINDS = ("wal", "schedule", "request")

_Section = TypeVar("_Section", bound="DataclassInstance")
_RULE = "rule"


@dataclass(frozen=True, slots=True)
class _Rule:
    """What a value must be: `<value> is not <text>` when it is not."""

    text: str
    holds: Callable[[float], bool]


_POSITIVE = {_RULE: _Rule("> 0", lambda value: value > 0)}
_NOT_NEGATIVE = {_RULE: _Rule(">= 0", lambda value: value >= 0)}
_PORT = {_RULE: _Rule("a port from 0 to 65535", lambda value: 0 <= value <= _LARGEST_PORT)}


@dataclass(frozen=True, slots=True)
class HttpConfig:
    """The HTTP edge."""

    # Reachable from this machine only, as long as tokens are not enforced.
    bind_host: str = "127.0.0.1"
    # The port of InfluxDB 3; 0 takes a free one.
    bind_port: int = field(default=8181, metadata=_PORT)
    # Of a body, before and after decompression; as InfluxDB 3 Core.
    max_request_bytes: int = field(default=10 * _MIB, metadata=_POSITIVE)
    # For running requests after a stop; with the grace of workers it stays below 5 s.
    grace_s: float = field(default=2.0, metadata=_NOT_NEGATIVE)
    # Whoever opens the server to all has to say so.
    without_auth: bool = False


@dataclass(frozen=True, slots=True)
class WalConfig:
    """The write-ahead log."""

    # How often WAL triggers fire; as InfluxDB 3 Core. Writes are durable before.
    flush_interval_s: float = field(default=1.0, metadata=_POSITIVE)
    # Small enough to read one again quickly, large enough that changing files is rare.
    segment_bytes: int = field(default=64 * _MIB, metadata=_POSITIVE)
    # Of writes that wait for the disk; beyond it clients are told to come back.
    max_pending_bytes: int = field(default=256 * _MIB, metadata=_POSITIVE)
    # Kept for triggers that lag; beyond it they lose the oldest rows and not the disk to all.
    max_lag_bytes: int = field(default=8 * _GIB, metadata=_POSITIVE)


@dataclass(frozen=True, slots=True)
class StorageConfig:
    """Rows in memory and in files."""

    # A server with 4 GiB still has room for queries; beyond it writes are refused.
    hot_buffer_bytes: int = field(default=2 * _GIB, metadata=_POSITIVE)
    # Of one table in memory, before its rows go to files; large enough for few and good files.
    persist_bytes: int = field(default=32 * _MIB, metadata=_POSITIVE)
    # Of the oldest row of a table in memory; a restart reads about so much of the log again.
    persist_age_s: float = field(default=600.0, metadata=_POSITIVE)
    # Of all tables in memory; many small tables reach it before one of them is large.
    persist_total_bytes: int = field(default=256 * _MIB, metadata=_POSITIVE)
    # Between looks for rows that are too old and deletions that are due; as InfluxDB 3 Core.
    retention_check_s: float = field(default=1800.0, metadata=_POSITIVE)
    # From a deletion to the removal of the rows, unless it says; as InfluxDB 3 Core.
    hard_delete_default_s: float = field(default=259_200.0, metadata=_NOT_NEGATIVE)


@dataclass(frozen=True, slots=True)
class QueryConfig:
    """SQL."""

    # Each uses several cores by itself; two keep a long query from blocking a short one.
    workers: int = field(default=2, metadata=_POSITIVE)
    # Queries that wait; beyond it clients are told to come back.
    max_pending: int = field(default=128, metadata=_POSITIVE)
    # Of one answer; it is held in memory twice while it is rendered.
    max_result_bytes: int = field(default=256 * _MIB, metadata=_POSITIVE)


@dataclass(frozen=True, slots=True)
class WorkersConfig:
    """Worker processes of plugins."""

    # Until a worker is ready; large libraries take seconds to import from a cold disk.
    start_timeout_s: float = field(default=30.0, metadata=_POSITIVE)
    # Of one run; most take milliseconds, forecasts and downsampling take minutes.
    run_timeout_s: float = field(default=300.0, metadata=_POSITIVE)
    # Of workers by one event, before that event is given up: accidents are rarer than poison.
    max_deaths: int = field(default=3, metadata=_POSITIVE)
    # Of one event under the error behavior retry, before it is given up; about ten minutes.
    max_attempts: int = field(default=10, metadata=_POSITIVE)
    # Runs that cause each other through the tables they write; as a plugin that reads its output.
    max_causes: int = field(default=16, metadata=_POSITIVE)
    # Between the request to end and the kill; enough for a `finally` that closes a connection.
    cancel_grace_s: float = field(default=2.0, metadata=_NOT_NEGATIVE)
    # Of one event; as dicts in the worker such an event takes about 50 MB.
    max_event_rows: int = field(default=50_000, metadata=_POSITIVE)
    # Of one event as columns; wide rows reach it before the number of rows does.
    max_event_bytes: int = field(default=16 * _MIB, metadata=_POSITIVE)
    # Of one cached value that outlives its worker; larger ones are lost when it dies.
    mirror_value_bytes: int = field(default=_MIB, metadata=_NOT_NEGATIVE)
    # Runs of an asynchronous trigger at the same time, each a thread of its worker.
    async_lanes: int = field(default=4, metadata=_POSITIVE)
    # Kinds of triggers that may be created.
    allowed_kinds: tuple[str, ...] = _KINDS
    # Of one installation of packages; the large ones bring hundreds of megabytes.
    install_timeout_s: float = field(default=600.0, metadata=_POSITIVE)
    # Requests that wait for one trigger; beyond it clients are told to come back.
    request_queue: int = field(default=64, metadata=_POSITIVE)


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
    # What installs packages; `discover` is uv, which comes with the server.
    package_manager: str = "discover"
    # The plugins' Python environment; `.venv` in the plugin folder if empty.
    environment_dir: str = ""
    # Processes of their own are the only wall so far.
    sandbox: str = "off"

    @classmethod
    def from_mapping(cls, settings: Mapping[str, object]) -> Config:
        """Return the settings of a mapping of names to values, sections being mappings again.

        Raises:
            InvalidConfig: as `wal.flush_interval_s: -1 is not > 0`.
        """
        config = _section(cls, settings, "")
        for name in ("node_id", "data_dir", "plugin_dir"):
            if not getattr(config, name).strip():
                raise InvalidConfig(f"{name}: must not be empty")
        if not _is_web_url(config.plugin_repo):
            raise InvalidConfig(
                f"plugin_repo: {config.plugin_repo!r} is not a URL of http or https"
            )
        _check_choice("sandbox", config.sandbox, _SANDBOXES)
        _check_choice("package_manager", config.package_manager, _PACKAGE_MANAGERS)
        for name in config.workers.allowed_kinds:
            _check_choice("workers.allowed_kinds", name, _KINDS)
        return config


def _check_choice(path: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise InvalidConfig(f"{path}: {value!r} is not one of {_listed(choices)}")


def _is_web_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        is_web = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
    return is_web and not parts.query and not parts.fragment and text.isprintable()


def _section(kind: type[_Section], given: object, path: str) -> _Section:
    if not isinstance(given, Mapping):
        raise InvalidConfig(f"{path.rstrip('.')}: {given!r} is not a section of settings")
    known = {setting.name: setting for setting in fields(kind)}
    for name in given:
        if name not in known:
            raise InvalidConfig(f"{path}{name}: unknown setting; known are {_listed(known)}")
    for name, setting in known.items():
        is_required = setting.default is MISSING and setting.default_factory is MISSING
        if is_required and name not in given:
            raise InvalidConfig(f"{path}{name}: is required")
    types = get_type_hints(kind)
    return kind(**{n: _value(types[n], known[n], v, f"{path}{n}") for n, v in given.items()})


def _value(kind: type, setting: Field[object], value: object, path: str) -> object:
    if is_dataclass(kind):
        return _section(kind, value, f"{path}.")
    typed = _typed(kind, value, path)
    rule = setting.metadata.get(_RULE)
    if rule is not None and not rule.holds(typed):
        raise InvalidConfig(f"{path}: {value} is not {rule.text}")
    return typed


def _typed(kind: type, value: object, path: str) -> object:
    if kind is float and isinstance(value, int | float) and not isinstance(value, bool):
        if not math.isfinite(value):
            raise InvalidConfig(f"{path}: {value} is not a finite number")
        return float(value)
    if get_origin(kind) is tuple:
        return _texts(value, path)
    is_bool = isinstance(value, bool)
    if isinstance(value, kind) and is_bool is (kind is bool):
        return value
    raise InvalidConfig(f"{path}: {value!r} is not {_TYPE_WORDS[kind]}")


def _texts(value: object, path: str) -> tuple[str, ...]:
    if isinstance(value, list | tuple) and all(isinstance(item, str) for item in value):
        return tuple(value)
    raise InvalidConfig(f"{path}: {value!r} is not a list of texts")


_TYPE_WORDS = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a text",
}


def _listed(names: Mapping[str, object] | tuple[str, ...]) -> str:
    return ", ".join(names)
