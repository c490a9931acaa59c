"""Limits of a trigger: which there are, how users write them, and which one counts.

    memory=512MiB    of all processes of its worker together
    cpu=0.5, 50%     of one core; 2 is two cores
    processes=64     and threads, all together
    disk=256MiB      of its private folder
    time=5m          of one run

What a trigger does not say is the server's default; no limit counts that is above the server's
ceiling.
Pure; may be called from any thread.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from engine.errors import InvalidParameter
from engine.model.duration import format_duration, parse_duration_ns
from engine.model.size import format_size, parse_size

__all__ = [
    "LEAST_TIME_S",
    "LIMIT_NAMES",
    "Limits",
    "check_ceilings",
    "limit_texts",
    "parse_limits",
    "split_limits",
]

_MIB = 1024 * 1024
# An interpreter with its messages takes 30 MB; below this hardly a plugin starts.
_LEAST_MEMORY_BYTES = 64 * _MIB
_LEAST_DISK_BYTES = _MIB
_MOST_BYTES = 64 * 1024 * 1024 * _MIB
# With less, a worker takes longer to start than it is waited for.
_LEAST_CPU = 0.05
_MOST_CPU = 1024.0
# An interpreter with the two threads of its messages.
_LEAST_PROCESSES = 3
_MOST_PROCESSES = 32_768
LEAST_TIME_S = 0.001
_DAY_S = 86_400.0
_SECOND_NS = 1_000_000_000
_Number = TypeVar("_Number", int, float)
LIMIT_NAMES = ("memory", "cpu", "processes", "disk", "time")
_CPU = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,20})?)\s*(%?)")
_WHOLE = re.compile(r"[0-9]{1,9}")


@dataclass(frozen=True, slots=True)
class Limits:
    """What the worker of a trigger, or one run of it, may use; None is not said.

    Args:
        memory_bytes: of all its processes together; at least 64 MiB.
        cpu: cores, 0.5 being half of one; at least 0.05.
        processes: and threads; at least 3.
        disk_bytes: of its private folder; at least 1 MiB.
        time_s: of one run; from 1 ms to a day.
    """

    memory_bytes: int | None = None
    cpu: float | None = None
    processes: int | None = None
    disk_bytes: int | None = None
    time_s: float | None = None

    def over(self, defaults: Limits) -> Limits:
        """Return these limits, and the defaults for what they do not say."""
        return Limits(
            memory_bytes=_own(self.memory_bytes, defaults.memory_bytes),
            cpu=_own(self.cpu, defaults.cpu),
            processes=_own(self.processes, defaults.processes),
            disk_bytes=_own(self.disk_bytes, defaults.disk_bytes),
            time_s=_own(self.time_s, defaults.time_s),
        )

    def capped(self, ceilings: Limits) -> Limits:
        """Return these limits, and the ceiling for what is above it or not said."""
        return Limits(
            memory_bytes=_least(self.memory_bytes, ceilings.memory_bytes),
            cpu=_least(self.cpu, ceilings.cpu),
            processes=_least(self.processes, ceilings.processes),
            disk_bytes=_least(self.disk_bytes, ceilings.disk_bytes),
            time_s=_least(self.time_s, ceilings.time_s),
        )


def parse_limits(values: Mapping[str, object]) -> Limits:
    """Return the limits of a mapping of names to texts or numbers; None is not said.

    Args:
        values: `memory` and `disk` are bytes or sizes as `512MiB`, `cpu` is cores or a share of
            one as `50%`, `processes` a number, `time` seconds or a duration as `30s`.

    Raises:
        InvalidParameter: a limit is unknown, or its value is wrong.
    """
    for name in values:
        if name not in LIMIT_NAMES:
            raise InvalidParameter(f"unknown limit {name!r}; known are {', '.join(LIMIT_NAMES)}")
    memory, cpu, processes, disk, time = (values.get(name) for name in LIMIT_NAMES)
    return Limits(
        memory_bytes=None if memory is None else _bytes("memory", memory, _LEAST_MEMORY_BYTES),
        cpu=None if cpu is None else _cores(cpu),
        processes=None if processes is None else _processes(processes),
        disk_bytes=None if disk is None else _bytes("disk", disk, _LEAST_DISK_BYTES),
        time_s=None if time is None else _time_s(time),
    )


def limit_texts(limits: Limits) -> list[str]:
    """Return limits as users write them, `NAME=VALUE`, without what they do not say."""
    return [f"{name}={text}" for name, text in _texts(limits).items()]


def split_limits(texts: Iterable[str]) -> dict[str, str]:
    """Return limits that are written as `NAME=VALUE`; of repeated names the last counts.

    Raises:
        InvalidParameter: one is written differently.
    """
    limits: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise InvalidParameter(f"{text!r} is not of the form NAME=VALUE, as time=30s")
        limits[name.strip()] = value.strip()
    return limits


def check_ceilings(limits: Limits, ceilings: Limits) -> None:
    """Check that no limit is above its ceiling.

    Raises:
        InvalidParameter: one is; the message names both.
    """
    texts, ceiling_texts = _texts(limits), _texts(ceilings)
    capped = _texts(limits.capped(ceilings))
    for name, text in texts.items():
        if capped[name] != text:
            raise InvalidParameter(
                f"limit {name}={text} is above this server's ceiling of {ceiling_texts[name]}"
            )


def _own(own: _Number | None, default: _Number | None) -> _Number | None:
    return default if own is None else own


def _least(own: _Number | None, ceiling: _Number | None) -> _Number | None:
    if own is None or ceiling is None:
        return ceiling if own is None else own
    return min(own, ceiling)


def _texts(limits: Limits) -> dict[str, str]:
    texts = {
        "memory": None if limits.memory_bytes is None else format_size(limits.memory_bytes),
        "cpu": None if limits.cpu is None else f"{limits.cpu}".removesuffix(".0"),
        "processes": None if limits.processes is None else f"{limits.processes}",
        "disk": None if limits.disk_bytes is None else format_size(limits.disk_bytes),
        "time": None if limits.time_s is None else _time_text(limits.time_s),
    }
    return {name: text for name, text in texts.items() if text is not None}


def _time_text(time_s: float) -> str:
    return format_duration(round(time_s * _SECOND_NS)).replace(" ", "")


def _bytes(name: str, value: object, least_bytes: int) -> int:
    match value:
        case str(text):
            size_bytes = parse_size(text)
        case int() if not isinstance(value, bool):
            size_bytes = value
        case _:
            raise InvalidParameter(
                f"limit {name}={value!r} is neither a size as 512MiB nor a whole number of bytes"
            )
    if not least_bytes <= size_bytes <= _MOST_BYTES:
        bounds = f"at least {format_size(least_bytes)} and at most {format_size(_MOST_BYTES)}"
        raise InvalidParameter(f"limit {name}={value} is not {bounds}")
    return size_bytes


def _cores(value: object) -> float:
    match value:
        case str(text) if found := _CPU.fullmatch(text.strip()):
            cores = float(found[1]) / (100 if found[2] else 1)
        case int() | float() if not isinstance(value, bool):
            cores = value
        case _:
            raise InvalidParameter(
                f"limit cpu={value!r} is neither cores as 0.5 nor a share of one as 50%"
            )
    if not _LEAST_CPU <= cores <= _MOST_CPU:
        raise InvalidParameter(
            f"limit cpu={value} is not at least {_LEAST_CPU:g} and at most {_MOST_CPU:g} cores"
        )
    return float(cores)


def _processes(value: object) -> int:
    match value:
        case str(text) if _WHOLE.fullmatch(text.strip()):
            processes = int(text)
        case int() if not isinstance(value, bool):
            processes = value
        case _:
            raise InvalidParameter(f"limit processes={value!r} is not a whole number")
    if not _LEAST_PROCESSES <= processes <= _MOST_PROCESSES:
        raise InvalidParameter(
            f"limit processes={value} is not at least {_LEAST_PROCESSES} and at most "
            f"{_MOST_PROCESSES}; the worker itself takes {_LEAST_PROCESSES}"
        )
    return processes


def _time_s(value: object) -> float:
    match value:
        case str(text):
            time_s: float = parse_duration_ns(text) / _SECOND_NS
        case int() | float() if not isinstance(value, bool):
            time_s = value
        case _:
            raise InvalidParameter(
                f"limit time={value!r} is neither a duration as 30s nor a number of seconds"
            )
    if not LEAST_TIME_S <= time_s <= _DAY_S:
        raise InvalidParameter(f"limit time={value} is not at least 1ms and at most 1 day")
    return round(time_s * _SECOND_NS) / _SECOND_NS  # as it is written
