"""The roots of the tree: who is to blame."""

from __future__ import annotations

from typing import ClassVar

__all__ = [
    "EngineError",
    "EngineFault",
    "PluginError",
    "ProtocolFault",
    "UserError",
]


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
