"""A change of locks and pins as a JSON object; a part of `engine.catalog.change_codec`.

Where requirements stand is not kept: it would be wrong after the next line was put before them.
Pure; may be called from any thread.
"""

from __future__ import annotations

from typing import assert_never

from engine.catalog.change import AddLock, PinChange, PinEnvironment, UnpinEnvironment
from engine.model.lock import Asked, Lock, Reason

__all__ = ["decode_pin_change", "encode_pin_change"]


def encode_pin_change(change: PinChange) -> dict[str, object]:
    """Return what stands for a change of locks and pins in JSON."""
    match change:
        case AddLock(lock):
            fields = {"id": lock.id, "python": lock.python, "platform": lock.platform}
            return {"change": "add_lock", **fields, "text": lock.text}
        case PinEnvironment(trigger_id, asked, lock_id, at_ns, reason):
            return {
                "change": "pin_environment",
                "trigger_id": trigger_id,
                "requirements": list(asked.requirements),
                "python": asked.python,
                "lock_id": lock_id,
                "at_ns": at_ns,
                "reason": reason.value,
            }
        case UnpinEnvironment(trigger_id):
            return {"change": "unpin_environment", "trigger_id": trigger_id}
        case _:
            assert_never(change)


def decode_pin_change(item: object) -> PinChange | None:
    """Return the change of locks and pins that a JSON value stands for, or None for no such change.

    Raises:
        ValueError: it is one, and cannot be read.
    """
    match item:
        case {
            "change": "add_lock",
            "id": str(id_),
            "python": str(python),
            "platform": str(platform),
            "text": str(text),
        }:
            return AddLock(Lock(id_, python, platform, text))
        case {
            "change": "pin_environment",
            "trigger_id": int(trigger_id),
            "requirements": list(requirements),
            "python": str(python),
            "lock_id": str(lock_id),
            "at_ns": int(at_ns),
            "reason": str(reason),
        }:
            asked = Asked(tuple(map(str, requirements)), python)
            return PinEnvironment(trigger_id, asked, lock_id, at_ns, Reason(reason))
        case {"change": "unpin_environment", "trigger_id": int(trigger_id)}:
            return UnpinEnvironment(trigger_id)
        case _:
            return None
