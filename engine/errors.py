"""The tree of errors: who is to blame is in the type, what happened is in the code.

`UserError`: the caller is wrong. `PluginError`: a plugin is. `EngineFault`: we are.
`ProtocolFault`: a worker broke the wire protocol. Every leaf has a stable `code` that is
documented in the reference, and the HTTP status with which the edge answers it.
A message says what happened, to which thing, and what to do about it.
"""

from __future__ import annotations

from typing import ClassVar


class EngineError(Exception):
    """The root; never raised itself."""

    code: ClassVar[str] = "engine_error"
    http_status: ClassVar[int] = 500


class UserError(EngineError):
    """The caller asked for something that cannot be done as asked."""

    code = "user_error"
    http_status = 400


class PluginError(EngineError):
    """A plugin, its file or its environment is at fault."""

    code = "plugin_error"


class EngineFault(EngineError):
    """The engine or the machine below it failed."""

    code = "engine_fault"


class ProtocolFault(EngineError):
    """A worker sent something that the wire protocol does not allow."""

    code = "protocol_fault"


class InvalidConfig(UserError):
    """A setting is unknown or out of range; the message names its path."""

    code = "invalid_config"


class InvalidParameter(UserError):
    """A request's parameter or body cannot be read."""

    code = "invalid_parameter"


class InvalidDatabaseName(UserError):
    """A database name breaks the naming rules."""

    code = "invalid_database_name"


class InvalidPrecision(UserError):
    """An unknown precision unit."""

    code = "invalid_precision"


class InvalidTriggerSpec(UserError):
    """A trigger specification cannot be parsed."""

    code = "invalid_trigger_spec"


class EmptyWrite(UserError):
    """A write held no line."""

    code = "empty_write"


class LimitExceeded(UserError):
    """A schema limit (databases, tables, columns) would be exceeded."""

    code = "limit_exceeded"
    http_status = 422


class DatabaseNotFound(UserError):
    """No database of this name."""

    code = "database_not_found"
    http_status = 404

    def __init__(self, name: str) -> None:
        super().__init__(f"database not found: {name}")
        self.name = name


class TriggerDatabaseNotFound(DatabaseNotFound):
    """A call about triggers names a database that does not exist."""

    code = "trigger_database_not_found"

    def __str__(self) -> str:
        """Word it as InfluxDB 3 Core does for these calls."""
        return f"Database not found {self.name}"


class NotFound(UserError):
    """No catalog object of this name."""

    code = "not_found"
    http_status = 404

    def __init__(self, name: str) -> None:
        super().__init__(f"the requested resource was not found: {name}")
        self.name = name


class AlreadyExists(UserError):
    """The name, or the request path, is taken."""

    code = "already_exists"
    http_status = 409

    def __init__(self, detail: str = "attempted to create a resource that already exists") -> None:
        super().__init__(detail)


class InternalDatabase(UserError):
    """The `_internal` database cannot be changed by users."""

    code = "internal_database"
    http_status = 500  # as InfluxDB 3 Core answers

    def __init__(self) -> None:
        super().__init__("cannot modify internal db")


class TriggerRunning(UserError):
    """An enabled trigger is deleted without force."""

    code = "trigger_running"
    http_status = 409

    def __init__(self, name: str) -> None:
        super().__init__(f"Cannot delete running plugin {name}. Disable it first or use --force.")


class QueryRejected(UserError):
    """SQL that cannot be parsed or planned, or that is not read-only."""

    code = "query_rejected"


class QueryUnsupported(UserError):
    """SQL that the query engine does not implement."""

    code = "query_unsupported"
    http_status = 405


class QueryTooLarge(UserError):
    """A query's result, or what it needs on the way, is larger than allowed."""

    code = "query_too_large"
    http_status = 422


class QueryExecutionFailed(EngineFault):
    """A planned query failed while it ran."""

    code = "query_execution_failed"


class PluginFileError(PluginError):
    """A plugin's file is missing, unreadable or outside the plugin folder."""

    code = "plugin_file_error"


class Busy(EngineFault):
    """A bounded queue is full; the same call may succeed later."""

    code = "busy"
    http_status = 503


class HotBufferFull(Busy):
    """The rows kept in memory have reached their limit."""

    code = "hot_buffer_full"

    def __init__(self, limit_bytes: int) -> None:
        super().__init__(
            f"the hot buffer has reached its limit of {limit_bytes} bytes; "
            "start the server with a larger --hot-buffer-limit"
        )


class Stopping(EngineFault):
    """The server is shutting down."""

    code = "stopping"
    http_status = 503

    def __init__(self) -> None:
        super().__init__("the server is shutting down")


class CorruptLog(EngineFault):
    """The write-ahead log is damaged in the middle; the server refuses to start."""

    code = "corrupt_log"


class DamagedRecord(EngineFault):
    """The payload of a log record is not what a version of this format writes."""

    code = "damaged_record"


class InvalidEntry(EngineFault):
    """An entry cannot be written to the log: the layout or the size of its rows."""

    code = "invalid_entry"


class LogInUse(EngineFault):
    """Another process holds the write-ahead log."""

    code = "log_in_use"


class LogDropped(EngineFault):
    """The part of the log that was to be read is no longer kept."""

    code = "log_dropped"


class CorruptCatalog(EngineFault):
    """A file of the catalog is damaged or missing; the server refuses to start."""

    code = "corrupt_catalog"


class CatalogConflict(EngineFault):
    """Another process has changed the catalog that this one owns."""

    code = "catalog_conflict"
    http_status = 503


class InconsistentChange(EngineFault):
    """A change of the catalog does not fit the state that it is applied to."""

    code = "inconsistent_change"


class DiskFailed(EngineFault):
    """A write or sync of durable state failed."""

    code = "disk_failed"
    http_status = 503


class UnknownEndpoint(UserError):
    """No running trigger serves this request path."""

    code = "unknown_endpoint"
    http_status = 404

    def __init__(self) -> None:
        super().__init__("not found")


class PluginFailed(PluginError):
    """A request plugin raised; the message is the plugin's own."""

    code = "plugin_failed"


class WorkerDied(PluginError):
    """The worker process ended while it served a request."""

    code = "worker_died"
    http_status = 502


class RunTimedOut(PluginError):
    """A run passed its time limit and was stopped."""

    code = "run_timed_out"
    http_status = 504
