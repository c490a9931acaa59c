"""What a trigger's lanes are given: their task, and the services that all triggers share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from engine.clock import Clock
from engine.ingest.history import RunHistory
from engine.ingest.internal import InternalTables
from engine.ingest.transaction import PluginWriter
from engine.model.trigger import Trigger
from engine.plugins.source import PluginCode
from engine.workers.moves import Policy
from engine.workers.runs import EventEncoder

__all__ = ["Assignment", "Shared"]


@dataclass(frozen=True, slots=True)
class Assignment:
    """Which trigger, of which database, with which plugin and policy."""

    trigger: Trigger
    database: str
    code: PluginCode
    policy: Policy


@dataclass(frozen=True, slots=True)
class Shared:
    """What all triggers use together; every part may be called from any thread."""

    writer: PluginWriter
    encoder: EventEncoder
    clock: Clock
    internal: InternalTables
    history: RunHistory
    persist_disabled: Callable[[Trigger], None]
