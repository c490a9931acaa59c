"""One frozen class for each kind of message; the order of the fields is their order on the wire."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from worker.wire.blocks import Block, BlockColumn
from worker.wire.faults import Fault

__all__ = [
    "Block",
    "BlockColumn",
    "CacheDeleteCall",
    "CacheGetCall",
    "CachePutCall",
    "CacheReply",
    "Cancel",
    "Chunk",
    "DoneReply",
    "FaultReply",
    "FromEngine",
    "FromWorker",
    "Head",
    "Hello",
    "Lines",
    "Load",
    "Log",
    "Message",
    "Mirror",
    "Parameter",
    "QueryCall",
    "QueryReply",
    "Ready",
    "RequestRun",
    "Response",
    "Restore",
    "Result",
    "ScheduledRun",
    "Stop",
    "WalRun",
    "Welcome",
    "WriteCall",
]

Parameter = None | bool | int | float | str
"""A value that a query may be given."""


@dataclass(frozen=True, slots=True)
class Hello:
    """Worker: the first message of a lane; the token proves who speaks."""

    token: bytes
    protocol: int
    api: int
    pid: int
    python: str
    lane: int


@dataclass(frozen=True, slots=True)
class Ready:
    """Worker: all restored, waiting for events."""


@dataclass(frozen=True, slots=True)
class Log:
    """Worker: one log line; level is INFO, WARN or ERROR."""

    level: str
    text: str
    time_ns: int


@dataclass(frozen=True, slots=True)
class QueryCall:
    """Worker: run a query; database None means the trigger's own."""

    sql: str
    params: Mapping[str, Parameter] | None
    database: str | None


@dataclass(frozen=True, slots=True)
class WriteCall:
    """Worker: write lines at once; database None means the trigger's own."""

    database: str | None
    lines: str
    no_sync: bool


@dataclass(frozen=True, slots=True)
class CachePutCall:
    """Worker: put into the global cache; the value is msgpack of plain data."""

    key: str
    value: bytes
    ttl_s: float | None


@dataclass(frozen=True, slots=True)
class CacheGetCall:
    """Worker: get from the global cache."""

    key: str


@dataclass(frozen=True, slots=True)
class CacheDeleteCall:
    """Worker: delete from the global cache."""

    key: str


@dataclass(frozen=True, slots=True)
class Lines:
    """Worker: buffered lines of the run; parts of one database are joined by a newline."""

    database: str | None
    text: str


@dataclass(frozen=True, slots=True)
class Head:
    """Worker: an answer begins whose body follows in parts.

    Args:
        status: of the answer.
        headers: names and values, each name once unless the plugin gave it more often.
        length: of the whole body in bytes, or None for a stream, which goes out as it comes.
    """

    status: int
    headers: tuple[tuple[str, str], ...]
    length: int | None


@dataclass(frozen=True, slots=True)
class Chunk:
    """Worker: a part of the body; the reply comes when there is room for another."""

    body: bytes


@dataclass(frozen=True, slots=True)
class Response:
    """What a request plugin answered, when it is small; part of `Result`."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


@dataclass(frozen=True, slots=True)
class Result:
    """Worker: the run has ended; with a fault its buffered lines do not count."""

    fault: Fault | None
    response: Response | None


@dataclass(frozen=True, slots=True)
class Mirror:
    """Worker: a key of the trigger's own cache as it stands after a run.

    Args:
        key: the key.
        value: opaque bytes when stored, else None.
        expires_ns: UTC nanoseconds, None for never.
        state: `stored`, `deleted`, or `live` for a value that cannot leave the process.
    """

    key: str
    value: bytes | None
    expires_ns: int | None
    state: str


@dataclass(frozen=True, slots=True)
class Welcome:
    """Engine: the worker is known; so many `Restore` messages follow."""

    api: int
    restores: int = 0


@dataclass(frozen=True, slots=True)
class Restore:
    """Engine: a mirrored key that an earlier worker of the trigger held."""

    key: str
    value: bytes
    expires_ns: int | None


@dataclass(frozen=True, slots=True)
class Load:
    """Engine: the plugin to run from now on: the text of a single file, or a folder to import."""

    name: str
    text: str | None
    folder: str | None


@dataclass(frozen=True, slots=True)
class WalRun:
    """Engine: run the plugin on written rows."""

    run_id: str
    tables: tuple[Block, ...]


@dataclass(frozen=True, slots=True)
class ScheduledRun:
    """Engine: run the plugin for a planned time, UTC nanoseconds."""

    run_id: str
    time_ns: int


@dataclass(frozen=True, slots=True)
class RequestRun:
    """Engine: run the plugin for an HTTP request; header names are lower-case."""

    run_id: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class QueryReply:
    """Engine: the rows of a query."""

    block: Block


@dataclass(frozen=True, slots=True)
class DoneReply:
    """Engine: the write or the put has been done."""


@dataclass(frozen=True, slots=True)
class CacheReply:
    """Engine: what the global cache held; a delete is answered without the value."""

    found: bool
    value: bytes | None


@dataclass(frozen=True, slots=True)
class FaultReply:
    """Engine: the call has failed."""

    fault: Fault


@dataclass(frozen=True, slots=True)
class Cancel:
    """Engine: the next API call of the running plugin shall raise."""


@dataclass(frozen=True, slots=True)
class Stop:
    """Engine: no more events; end the process."""


FromWorker = (
    Hello
    | Ready
    | Log
    | QueryCall
    | WriteCall
    | CachePutCall
    | CacheGetCall
    | CacheDeleteCall
    | Lines
    | Head
    | Chunk
    | Result
    | Mirror
)
FromEngine = (
    Welcome
    | Restore
    | Load
    | WalRun
    | ScheduledRun
    | RequestRun
    | QueryReply
    | DoneReply
    | CacheReply
    | FaultReply
    | Cancel
    | Stop
)
Message = FromWorker | FromEngine
