"""A trigger as the JSON object that commits and snapshots of the catalog hold.

    {"id": n, "database_id": n, "name": text, "plugin": text, "spec": SPEC,
     "arguments": {text: text} | null, "disabled": bool, "start": n,
     "run_async": bool, "error_behavior": text,
     "catch_up": text, "cors": [text, ...], "on_lag": text,
     "grants": [text, ...], "limits": {text: text}, "requirements": [text, ...]}

The last six are absent in what earlier versions wrote and have their defaults then. Instead of the
limits there may be `"time_limit_s": number | null`, which is the limit `time`.
Pure; may be called from any thread.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from engine.errors import InvalidParameter
from engine.model.grants import Grants, grant_texts, parse_grants
from engine.model.limits import LEAST_TIME_S, Limits, limit_texts, parse_limits, split_limits
from engine.model.trigger import (
    CatchUp,
    ErrorBehavior,
    OnLag,
    Trigger,
    TriggerSettings,
    spec_from_json,
    spec_json,
)

__all__ = ["decode_confines", "decode_trigger", "encode_confines", "encode_trigger"]

_LATER_SETTINGS: Mapping[object, object] = {
    "catch_up": "one",
    "cors": ["*"],
    "on_lag": "keep",
    "grants": [],
    "requirements": [],
}


def encode_trigger(trigger: Trigger) -> dict[str, object]:
    """Return what stands for a trigger in JSON."""
    return {
        "id": trigger.id,
        "database_id": trigger.database_id,
        "name": trigger.name,
        "plugin": trigger.plugin,
        "spec": json.loads(spec_json(trigger.spec)),
        "run_async": trigger.settings.run_async,
        "error_behavior": trigger.settings.error_behavior.value,
        "catch_up": trigger.settings.catch_up.value,
        "cors": list(trigger.settings.cors),
        "on_lag": trigger.settings.on_lag.value,
        **encode_confines(trigger.settings.grants, trigger.settings.limits),
        "requirements": list(trigger.settings.requirements),
        "arguments": None if trigger.arguments is None else dict(trigger.arguments),
        "disabled": trigger.disabled,
        "start": trigger.start,
    }


def decode_trigger(item: object) -> Trigger:
    """Return the trigger that a JSON value stands for.

    Raises:
        ValueError: it stands for none.
    """
    match item:
        case {
            "id": int(id_),
            "database_id": int(database_id),
            "name": str(name),
            "plugin": str(plugin),
            "spec": spec,
            "arguments": dict() | None as arguments,
            "disabled": bool(disabled),
            "start": int(start),
            **settings,
        }:
            return Trigger(
                id=id_,
                database_id=database_id,
                name=name,
                plugin=plugin,
                spec=spec_from_json(json.dumps(spec)),
                settings=_settings(settings),
                arguments=arguments,
                disabled=disabled,
                start=start,
            )
        case _:
            raise ValueError(f"not a trigger: {str(item)[:200]}")


def encode_confines(grants: Grants, limits: Limits) -> dict[str, object]:
    """Return what stands for grants and limits in JSON."""
    return {"grants": grant_texts(grants), "limits": split_limits(limit_texts(limits))}


def decode_confines(grants: list[object], limits: dict[str, object]) -> tuple[Grants, Limits]:
    """Return the grants and limits that JSON values stand for.

    Raises:
        ValueError: they stand for none.
    """
    try:
        return parse_grants(map(str, grants)), parse_limits(limits)
    except InvalidParameter as error:
        raise ValueError(str(error)) from error


def _settings(item: Mapping[object, object]) -> TriggerSettings:
    complete = {**_LATER_SETTINGS, "limits": _earlier_limits(item), **item}
    match complete:
        case {
            "run_async": bool(run_async),
            "error_behavior": str(error_behavior),
            "catch_up": str(catch_up),
            "cors": list(cors),
            "on_lag": str(on_lag),
            "grants": list(grant_items),
            "limits": dict(limit_items),
            "requirements": list(requirements),
        }:
            grants, limits = decode_confines(grant_items, limit_items)
            return TriggerSettings(
                run_async,
                ErrorBehavior(error_behavior),
                CatchUp(catch_up),
                limits,
                tuple(map(str, cors)),
                OnLag(on_lag),
                grants,
                tuple(map(str, requirements)),
            )
        case _:
            raise ValueError(f"not the settings of a trigger: {str(item)[:200]}")


def _earlier_limits(item: Mapping[object, object]) -> dict[object, object]:
    """Return the only limit that earlier versions had; theirs could be shorter than is kept now."""
    match item.get("time_limit_s"):
        case int() | float() as time_s:
            return {"time": max(time_s, LEAST_TIME_S)}
        case other:
            return {"time": other}
