"""The tree of errors: who is to blame is in the type, what happened is in the code.

`UserError`: the caller is wrong. `PluginError`: a plugin is. `EngineFault`: we are.
`ProtocolFault`: a worker broke the wire protocol. Every leaf has a stable `code` that is
documented in the reference, and the HTTP status with which the edge answers it.
A message says what happened, to which thing, and what to do about it.
"""

from __future__ import annotations

from engine.errors.fault import (
    Busy,
    CatalogConflict,
    CorruptCatalog,
    CorruptLog,
    DamagedFile,
    DamagedRecord,
    DiskFailed,
    HotBufferFull,
    InconsistentChange,
    InvalidEntry,
    LogDropped,
    LogInUse,
    QueryExecutionFailed,
    Stopping,
)
from engine.errors.plugin import PluginFailed, PluginFileError, RunTimedOut, TriggerDown, WorkerDied
from engine.errors.roots import EngineError, EngineFault, PluginError, ProtocolFault, UserError
from engine.errors.user import (
    AlreadyDeleted,
    AlreadyExists,
    DatabaseNotFound,
    DeadLetterNotOpen,
    EmptyWrite,
    InternalDatabase,
    InvalidConfig,
    InvalidDatabaseName,
    InvalidParameter,
    InvalidPrecision,
    InvalidTriggerSpec,
    LimitExceeded,
    NotFound,
    QueryRejected,
    QueryTooLarge,
    QueryUnsupported,
    SoftDeletedDatabase,
    TriggerDatabaseNotFound,
    TriggerNotRunning,
    TriggerRunning,
    UnknownEndpoint,
)

__all__ = [
    "AlreadyDeleted",
    "AlreadyExists",
    "Busy",
    "CatalogConflict",
    "CorruptCatalog",
    "CorruptLog",
    "DamagedFile",
    "DamagedRecord",
    "DatabaseNotFound",
    "DeadLetterNotOpen",
    "DiskFailed",
    "EmptyWrite",
    "EngineError",
    "EngineFault",
    "HotBufferFull",
    "InconsistentChange",
    "InternalDatabase",
    "InvalidConfig",
    "InvalidDatabaseName",
    "InvalidEntry",
    "InvalidParameter",
    "InvalidPrecision",
    "InvalidTriggerSpec",
    "LimitExceeded",
    "LogDropped",
    "LogInUse",
    "NotFound",
    "PluginError",
    "PluginFailed",
    "PluginFileError",
    "ProtocolFault",
    "QueryExecutionFailed",
    "QueryRejected",
    "QueryTooLarge",
    "QueryUnsupported",
    "RunTimedOut",
    "SoftDeletedDatabase",
    "Stopping",
    "TriggerDatabaseNotFound",
    "TriggerDown",
    "TriggerNotRunning",
    "TriggerRunning",
    "UnknownEndpoint",
    "UserError",
    "WorkerDied",
]
