"""Triggers: a specification of what fires a plugin, the plugin, and how it runs.

The specifications themselves stand in `engine.model.spec` and are exported from here as well.
Pure; may be called from any thread.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from engine.errors import InvalidParameter
from engine.model.spec import (
    AllTablesSpec,
    CronSpec,
    EverySpec,
    Kind,
    RequestSpec,
    TableSpec,
    TriggerSpec,
    kind,
    parse_spec,
    spec_from_json,
    spec_json,
    spec_text,
)

__all__ = [
    "AllTablesSpec",
    "CronSpec",
    "ErrorBehavior",
    "EverySpec",
    "Kind",
    "RequestSpec",
    "TableSpec",
    "Trigger",
    "TriggerSettings",
    "TriggerSpec",
    "kind",
    "parse_error_behavior",
    "parse_spec",
    "spec_from_json",
    "spec_json",
    "spec_text",
]


class ErrorBehavior(Enum):
    """What happens after a failed run."""

    LOG = "log"
    RETRY = "retry"
    DISABLE = "disable"


@dataclass(frozen=True, slots=True)
class TriggerSettings:
    """How a trigger runs.

    Args:
        run_async: whether runs may overlap.
        error_behavior: what follows a failed run.
    """

    run_async: bool = False
    error_behavior: ErrorBehavior = ErrorBehavior.LOG


@dataclass(frozen=True, slots=True)
class Trigger:
    """A trigger as the catalog holds it.

    Args:
        id: catalog id, never used again.
        database_id: catalog id of its database.
        name: unique within its database.
        plugin: the plugin's file or folder as the user gave it.
        arguments: what the plugin is called with; None when the user gave none.
        disabled: whether it rests.
        start: log position from which it takes entries, set at creation and at each enable.
    """

    id: int
    database_id: int
    name: str
    plugin: str
    spec: TriggerSpec
    settings: TriggerSettings
    arguments: Mapping[str, str] | None
    disabled: bool
    start: int


def parse_error_behavior(text: str) -> ErrorBehavior:
    """Return an error behaviour from its name in any case.

    Raises:
        InvalidParameter: no such behaviour.
    """
    try:
        return ErrorBehavior(text.strip().lower())
    except ValueError:
        raise InvalidParameter(
            f"unknown error behavior {text!r}; use log, retry or disable"
        ) from None
