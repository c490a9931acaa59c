"""The caller is wrong."""

from __future__ import annotations

from engine.errors.roots import UserError

__all__ = [
    "AlreadyDeleted",
    "AlreadyExists",
    "DatabaseNotFound",
    "EmptyWrite",
    "InternalDatabase",
    "InvalidConfig",
    "InvalidDatabaseName",
    "InvalidParameter",
    "InvalidPrecision",
    "InvalidTriggerSpec",
    "LimitExceeded",
    "NotFound",
    "QueryRejected",
    "QueryTooLarge",
    "QueryUnsupported",
    "SoftDeletedDatabase",
    "TriggerDatabaseNotFound",
    "TriggerRunning",
    "UnknownEndpoint",
]


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


class AlreadyDeleted(UserError):
    """A database or table is in the trash, where nothing changes but when it is removed."""

    code = "already_deleted"
    http_status = 409

    def __init__(self, name: str) -> None:
        super().__init__(f"attempted to modify resource that was already deleted: {name}")
        self.name = name


class SoftDeletedDatabase(UserError):
    """A write goes to a database in the trash."""

    code = "soft_deleted_database"
    http_status = 400

    def __init__(self, name: str) -> None:
        super().__init__(
            f"cannot write to soft-deleted database '{name}' - it is marked for deletion"
        )
        self.name = name


class InternalDatabase(UserError):
    """The `_internal` database cannot be changed by users."""

    code = "internal_database"
    http_status = 500  # as InfluxDB 3 Core answers

    def __init__(self, verb: str = "modify") -> None:
        super().__init__(f"cannot {verb} internal db")


class TriggerRunning(UserError):
    """An enabled trigger is deleted without force."""

    code = "trigger_running"
    http_status = 409

    def __init__(self, name: str) -> None:
        super().__init__(f"Cannot delete running plugin {name}. Disable it first or use --force.")


class TriggerNotRunning(UserError):
    """A dead letter cannot be retried because nothing takes its event."""

    code = "trigger_not_running"
    http_status = 409

    def __init__(self, name: str, why: str = "is not running; enable it first") -> None:
        super().__init__(f"trigger {name} {why}")


class DeadLetterNotOpen(UserError):
    """A dead letter has been retried or dropped already, or is being retried."""

    code = "dead_letter_not_open"
    http_status = 409

    def __init__(self, id_: str, state: str) -> None:
        super().__init__(f"dead letter {id_} is not open: it {state}")


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


class UnknownEndpoint(UserError):
    """No running trigger serves this request path."""

    code = "unknown_endpoint"
    http_status = 404

    def __init__(self) -> None:
        super().__init__("not found")
