"""We failed, or the machine below us."""

from __future__ import annotations

from engine.errors.roots import EngineFault

__all__ = [
    "Busy",
    "CatalogConflict",
    "CorruptCatalog",
    "CorruptLog",
    "DamagedFile",
    "DamagedRecord",
    "DiskFailed",
    "HotBufferFull",
    "InconsistentChange",
    "InvalidEntry",
    "LogDropped",
    "LogInUse",
    "QueryExecutionFailed",
    "Stopping",
]


class QueryExecutionFailed(EngineFault):
    """A planned query failed while it ran."""

    code = "query_execution_failed"


class Busy(EngineFault):
    """A bounded queue is full; the same call may succeed later."""

    code = "busy"
    http_status = 503


class HotBufferFull(Busy):
    """The rows kept in memory have reached their limit."""

    code = "hot_buffer_full"

    def __init__(self, limit_bytes: int) -> None:
        super().__init__(
            f"the hot buffer has reached its limit of {limit_bytes} bytes: rows come faster than "
            "they go to files, or the disk takes none (the server's log tells); try again later, "
            "or start the server with a larger --hot-buffer-limit"
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
    """The part of the log that was to be read is no longer kept.

    Args:
        first: the lowest sequence that may still be there.
    """

    code = "log_dropped"

    def __init__(self, first: int) -> None:
        super().__init__(f"entries of the write-ahead log below {first} are no longer kept")
        self.first = first


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


class DamagedFile(EngineFault):
    """A file of rows is damaged or missing; what reads other files goes on."""

    code = "damaged_file"

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"{path} {problem}; restore it from a backup")
        self.path = path


class DiskFailed(EngineFault):
    """A write or sync of durable state failed."""

    code = "disk_failed"
    http_status = 503
