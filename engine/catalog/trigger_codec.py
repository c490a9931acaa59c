"""A trigger as the JSON object that commits and snapshots of the catalog hold.

    {"id": n, "database_id": n, "name": text, "plugin": text, "spec": SPEC,
     "arguments": {text: text} | null, "disabled": bool, "start": n,
     "run_async": bool, "error_behavior": text,
     "catch_up": text, "time_limit_s": number | null, "cors": [text, ...],
     "on_lag": text}

The last four are absent in what earlier versions wrote and have their defaults then.
Pure; may be called from any thread.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from engine.model.trigger import (
    CatchUp,
    ErrorBehavior,
    OnLag,
    Trigger,
    TriggerSettings,
    spec_from_json,
    spec_json,
)

__all__ = ["decode_trigger", "encode_trigger"]

_LATER_SETTINGS: Mapping[object, object] = {
    "catch_up": "one",
    "time_limit_s": None,
    "cors": ["*"],
    "on_lag": "keep",
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
        "time_limit_s": trigger.settings.time_limit_s,
        "cors": list(trigger.settings.cors),
        "on_lag": trigger.settings.on_lag.value,
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


def _settings(item: Mapping[object, object]) -> TriggerSettings:
    complete = {**_LATER_SETTINGS, **item}
    match complete:
        case {
            "run_async": bool(run_async),
            "error_behavior": str(error_behavior),
            "catch_up": str(catch_up),
            "time_limit_s": int() | float() | None as time_limit_s,
            "cors": list(cors),
            "on_lag": str(on_lag),
        }:
            return TriggerSettings(
                run_async,
                ErrorBehavior(error_behavior),
                CatchUp(catch_up),
                time_limit_s,
                tuple(map(str, cors)),
                OnLag(on_lag),
            )
        case _:
            raise ValueError(f"not the settings of a trigger: {str(item)[:200]}")
