"""Reading of settings: mappings into the frozen dataclasses that describe them.

Unknown names, wrong types and values that break their field's rule are refused, with the path of
the setting.
Pure; may be called from any thread.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from typing import TYPE_CHECKING, TypeVar, get_origin, get_type_hints

from engine.errors import InvalidConfig

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

__all__ = ["NOT_NEGATIVE", "PORT", "POSITIVE", "check_choice", "read_section"]

_LARGEST_PORT = 65_535
_RULE = "rule"
_Section = TypeVar("_Section", bound="DataclassInstance")


@dataclass(frozen=True, slots=True)
class _Rule:
    """What a value must be: `<value> is not <text>` when it is not."""

    text: str
    holds: Callable[[float], bool]


POSITIVE = {_RULE: _Rule("> 0", lambda value: value > 0)}
NOT_NEGATIVE = {_RULE: _Rule(">= 0", lambda value: value >= 0)}
PORT = {_RULE: _Rule("a port from 0 to 65535", lambda value: 0 <= value <= _LARGEST_PORT)}


def check_choice(path: str, value: str, choices: tuple[str, ...]) -> None:
    """Check that a setting has one of some values.

    Raises:
        InvalidConfig: it has another.
    """
    if value not in choices:
        raise InvalidConfig(f"{path}: {value!r} is not one of {_listed(choices)}")


def read_section(kind: type[_Section], given: object, path: str) -> _Section:
    """Return the settings of a section.

    Args:
        kind: the section's dataclass.
        given: a mapping of names to values, sections being mappings again.
        path: of the section, with a dot at its end; empty for the outermost.

    Raises:
        InvalidConfig: as `wal.flush_interval_s: -1 is not > 0`.
    """
    if not isinstance(given, Mapping):
        raise InvalidConfig(f"{path.rstrip('.')}: {given!r} is not a section of settings")
    known = {setting.name: setting for setting in fields(kind)}
    for name in given:
        if name not in known:
            raise InvalidConfig(f"{path}{name}: unknown setting; known are {_listed(known)}")
    for name, setting in known.items():
        is_required = setting.default is MISSING and setting.default_factory is MISSING
        if is_required and name not in given:
            raise InvalidConfig(f"{path}{name}: is required")
    types = get_type_hints(kind)
    return kind(**{n: _value(types[n], known[n], v, f"{path}{n}") for n, v in given.items()})


def _value(kind: type, setting: Field[object], value: object, path: str) -> object:
    if is_dataclass(kind):
        return read_section(kind, value, f"{path}.")
    typed = _typed(kind, value, path)
    rule = setting.metadata.get(_RULE)
    if rule is not None and not rule.holds(typed):
        raise InvalidConfig(f"{path}: {value} is not {rule.text}")
    return typed


def _typed(kind: type, value: object, path: str) -> object:
    if kind is float and isinstance(value, int | float) and not isinstance(value, bool):
        if not math.isfinite(value):
            raise InvalidConfig(f"{path}: {value} is not a finite number")
        return float(value)
    if get_origin(kind) is tuple:
        return _texts(value, path)
    is_bool = isinstance(value, bool)
    if isinstance(value, kind) and is_bool is (kind is bool):
        return value
    raise InvalidConfig(f"{path}: {value!r} is not {_TYPE_WORDS[kind]}")


def _texts(value: object, path: str) -> tuple[str, ...]:
    if isinstance(value, list | tuple) and all(isinstance(item, str) for item in value):
        return tuple(value)
    raise InvalidConfig(f"{path}: {value!r} is not a list of texts")


_TYPE_WORDS = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a text",
}


def _listed(names: Mapping[str, object] | tuple[str, ...]) -> str:
    return ", ".join(names)
