"""A plugin, its file or its environment is at fault."""

from __future__ import annotations

from engine.errors.roots import PluginError

__all__ = [
    "PluginFailed",
    "PluginFileError",
    "RunTimedOut",
    "TriggerDown",
    "WorkerDied",
    "WorkerOverLimit",
]


class PluginFileError(PluginError):
    """A plugin's file is missing, unreadable or outside the plugin folder."""

    code = "plugin_file_error"


class TriggerDown(PluginError):
    """The trigger was stopped while a request waited for it."""

    code = "trigger_down"

    def __init__(self) -> None:
        super().__init__("Processing engine error: request handler for trigger down")


class PluginFailed(PluginError):
    """A request plugin raised; the message is the plugin's own."""

    code = "plugin_failed"


class WorkerDied(PluginError):
    """The worker process ended while it served a request."""

    code = "worker_died"
    http_status = 502


class WorkerOverLimit(PluginError):
    """A run used more memory or disk than its trigger may, and its worker was killed."""

    code = "over_limit"
    http_status = 502


class RunTimedOut(PluginError):
    """A run passed its time limit and was stopped."""

    code = "run_timed_out"
    http_status = 504
