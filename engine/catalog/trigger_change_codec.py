"""A change of a trigger as a JSON object; a part of `engine.catalog.change_codec`.

Pure; may be called from any thread.
"""

from __future__ import annotations

from typing import assert_never

from engine.catalog.change import (
    ConfineTrigger,
    CreateTrigger,
    DeleteTrigger,
    DisableTrigger,
    EnableTrigger,
    RequireTrigger,
    TriggerChange,
)
from engine.catalog.trigger_codec import (
    decode_confines,
    decode_trigger,
    encode_confines,
    encode_trigger,
)

__all__ = ["decode_trigger_change", "encode_trigger_change"]


def encode_trigger_change(change: TriggerChange) -> dict[str, object]:
    """Return what stands for a change of a trigger in JSON."""
    match change:
        case CreateTrigger(trigger):
            return {"change": "create_trigger", "trigger": encode_trigger(trigger)}
        case EnableTrigger(id_, start):
            return {"change": "enable_trigger", "id": id_, "start": start}
        case DisableTrigger(id_):
            return {"change": "disable_trigger", "id": id_}
        case ConfineTrigger(id_, grants, limits):
            confines = encode_confines(grants, limits)
            return {"change": "confine_trigger", "id": id_, **confines}
        case RequireTrigger(id_, requirements):
            fields = {"id": id_, "requirements": list(requirements)}
            return {"change": "require_trigger", **fields}
        case DeleteTrigger(id_):
            return {"change": "delete_trigger", "id": id_}
        case _:
            assert_never(change)


def decode_trigger_change(item: object) -> TriggerChange | None:
    """Return the change of a trigger that a JSON value stands for, or None for no such change.

    Raises:
        ValueError: it is one, and cannot be read.
    """
    match item:
        case {"change": "create_trigger", "trigger": trigger}:
            return CreateTrigger(decode_trigger(trigger))
        case {"change": "enable_trigger", "id": int(id_), "start": int(start)}:
            return EnableTrigger(id_, start)
        case {"change": "disable_trigger", "id": int(id_)}:
            return DisableTrigger(id_)
        case {
            "change": "confine_trigger",
            "id": int(id_),
            "grants": list(grants),
            "limits": dict(limits),
        }:
            return ConfineTrigger(id_, *decode_confines(grants, limits))
        case {"change": "require_trigger", "id": int(id_), "requirements": list(requirements)}:
            return RequireTrigger(id_, tuple(map(str, requirements)))
        case {"change": "delete_trigger", "id": int(id_)}:
            return DeleteTrigger(id_)
        case _:
            return None
