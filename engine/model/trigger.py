"""Triggers: a specification of what fires a plugin, the plugin, and how it runs.

The specifications themselves stand in `engine.model.spec` and are exported from here as well.
Pure; may be called from any thread.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum

from engine.errors import InvalidParameter
from engine.model.catch_up import CatchUp, parse_catch_up
from engine.model.grants import Grants
from engine.model.lag import OnLag, parse_on_lag
from engine.model.limits import Limits
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
    "CatchUp",
    "CronSpec",
    "ErrorBehavior",
    "EverySpec",
    "Kind",
    "OnLag",
    "RequestSpec",
    "TableSpec",
    "Trigger",
    "TriggerSettings",
    "TriggerSpec",
    "kind",
    "parse_catch_up",
    "parse_error_behavior",
    "parse_on_lag",
    "parse_origins",
    "parse_spec",
    "spec_from_json",
    "spec_json",
    "spec_text",
]

_NO_LIMITS = Limits()
_NO_GRANTS = Grants()
# scheme://host[:port], as browsers send it: without a path, and in lower case.
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[^/\s?#@,]+", re.ASCII)


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
        catch_up: what becomes of ticks that a schedule missed.
        limits: what its worker and its runs may use; what is not said is the server's default.
        cors: origins whose pages may read a request plugin's answers; `*` is any.
        on_lag: what becomes of rows that a WAL trigger is too slow for.
        grants: what its plugin may reach beyond its own folder.
        requirements: packages that it asks for beside those of its plugin, in PEP 508.
    """

    run_async: bool = False
    error_behavior: ErrorBehavior = ErrorBehavior.LOG
    catch_up: CatchUp = CatchUp.ONE
    limits: Limits = _NO_LIMITS
    cors: tuple[str, ...] = ("*",)
    on_lag: OnLag = OnLag.KEEP
    grants: Grants = _NO_GRANTS
    requirements: tuple[str, ...] = ()


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


def parse_origins(texts: Iterable[str]) -> tuple[str, ...]:
    """Return the origins of a list, each once, as browsers send them; `*` stands for any.

    Raises:
        InvalidParameter: one is no origin.
    """
    return tuple(dict.fromkeys(_origin(text) for text in texts))


def _origin(text: str) -> str:
    origin = text.strip().lower()
    if origin in ("*", "null") or _ORIGIN.fullmatch(origin):
        return origin
    raise InvalidParameter(f"{text!r} is no origin; write https://host, https://host:port or *")
