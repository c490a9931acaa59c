"""What is played: the triggers, the pace, and the lines that sensors would send. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["DATABASE", "DOOR_LINE", "RULES", "Scenario", "Trigger", "climate_lines", "triggers"]

DATABASE = "demo"
RULES = ("degrees", "deadman")
# Written once; the table is silent from then on.
DOOR_LINE = b"door,room=cellar is_open=false"
_ROOMS = ("attic", "cellar", "kitchen", "office")
_SENSORS_PER_ROOM = 5
_SYSTEM_TABLES = ("system_cpu", "system_load", "system_memory", "system_network")
_HEATED_FROM_S, _HEATED_TO_S = 3.0, 6.0


@dataclass(frozen=True, slots=True)
class Scenario:
    """How much of everything.

    Args:
        duration_s: how long load is made.
        writers: connections that write.
        lines_per_write: in each request.
        write_pause_s: of a writer after each request, which bounds the rate.
        request_pause_s: of the caller of the plugin endpoint after each request.
        crash_at: number of the event at which the plugin crashes.
        settle_s: how long plugins may take to catch up afterwards.
    """

    duration_s: float = 12.0
    writers: int = 3
    lines_per_write: int = 60
    write_pause_s: float = 0.04
    request_pause_s: float = 0.02
    crash_at: int = 20
    settle_s: float = 15.0


@dataclass(frozen=True, slots=True)
class Trigger:
    """A trigger to create, and the tables that its plugin writes."""

    name: str
    plugin: str
    spec: str
    arguments: Mapping[str, str] = field(default_factory=dict)
    tables: tuple[str, ...] = ()


def triggers(scenario: Scenario) -> tuple[Trigger, ...]:
    """Return the triggers of the demonstration."""
    crash = {"mode": "segfault", "at": str(scenario.crash_at)}
    return (
        Trigger("reports", _file("write_report"), "table:climate", {}, ("write_reports",)),
        Trigger(
            "rollup",
            _file("downsample"),
            "table:climate",
            {"by": "room", "window_s": "2", "target": "climate_2s"},
            ("climate_2s",),
        ),
        Trigger(
            "hot",
            _file("threshold_alert"),
            "table:climate",
            {"column": "degrees", "max": "30", "by": "room sensor", "target": "alerts"},
            ("alerts",),
        ),
        Trigger(
            "silence",
            _file("deadman_check"),
            "every:1s",
            {"table": "door", "silence_s": "4", "target": "alerts"},
            ("alerts",),
        ),
        Trigger("metrics", _file("system_metrics"), "every:1s", {}, _SYSTEM_TABLES),
        Trigger("victim", _file("crash_test"), "table:climate", crash, ("crash_test",)),
        Trigger("summary", "summary", "request:summary", {"table": "climate", "by": "room"}),
    )


def climate_lines(writer: int, first: int, count: int, elapsed_s: float, now_ns: int) -> bytes:
    """Return lines as a writer's sensors send them: in waves, the attic too hot for a while.

    Args:
        writer: number of the writer; each has sensors of its own, so no point is written twice.
        first: how many lines the writer has sent before.
        count: how many lines to make.
        elapsed_s: since the start; the attic is heated from the third to the sixth second.
        now_ns: of the first line; the others follow a nanosecond apart.
    """
    lines = []
    for number in range(first, first + count):
        room = _ROOMS[number % len(_ROOMS)]
        sensor = f"s{writer}{number // len(_ROOMS) % _SENSORS_PER_ROOM}"
        wave = math.sin(number / 50 + writer)
        is_heated = room == "attic" and _HEATED_FROM_S <= elapsed_s < _HEATED_TO_S
        degrees = 21 + wave + (12 if is_heated else 0)
        lines.append(
            f"climate,room={room},sensor={sensor} "
            f"degrees={degrees:.2f},humidity={45 - 5 * wave:.1f} {now_ns + number - first}"
        )
    return "\n".join(lines).encode()


def _file(name: str) -> str:
    return f"{name}/{name}.py"
