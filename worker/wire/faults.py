"""What can go wrong in a conversation, as values and as errors.

`Fault` is data: a failure that one end tells the other. The two errors say which end broke the
rules; the layer above translates them into its own tree.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = [
    "CANCELLED",
    "INVALID_DATABASE_NAME",
    "PLUGIN_INVALID",
    "PLUGIN_RAISED",
    "Fault",
    "LocalWireError",
    "RemoteWireError",
]

PLUGIN_RAISED = "plugin_raised"
"""The entry point raised, or returned what is no response."""

PLUGIN_INVALID = "plugin_invalid"
"""The plugin could not be loaded, or has no entry point."""

CANCELLED = "cancelled"
"""The run ended because it was cancelled."""

INVALID_DATABASE_NAME = "invalid_database_name"
"""In an answer to a call: the database cannot be named so."""


class LocalWireError(ValueError):
    """This end tried to say something that the protocol does not allow."""


class RemoteWireError(ValueError):
    """The other end said something that the protocol does not allow."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A failure told to the other end.

    Args:
        code: stable, for programs.
        message: for people, as the plugin API words it.
        traceback: the plugin's own frames, or empty.
    """

    code: str
    message: str
    traceback: str = ""
