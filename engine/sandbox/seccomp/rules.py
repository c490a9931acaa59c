"""Reads the policy into rules, for one variant at a time. Threads: any.

A rule names one call and one action. `ALLOW` may have conditions, all of which must hold; a call
with several rules is allowed when one of them holds. The action for everything else is not here:
it is that of the policy as a whole.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal

__all__ = ["VARIANTS", "Action", "Argument", "Policy", "Rule", "read_policy"]

VARIANTS = ("plain", "subprocess", "network", "network-subprocess")

Action = Literal["allow", "missing"]

_INT_MASK = 0xFFFF_FFFF
_POINTER_MASK = 0xFFFF_FFFF_FFFF_FFFF


@dataclass(frozen=True, slots=True)
class Argument:
    """Holds when the argument, after its mask, is the value."""

    index: int
    mask: int
    value: int


@dataclass(frozen=True, slots=True)
class Rule:
    """What happens to one call.

    Args:
        call: its name, as the C library's headers have it.
        action: `allow`, or `missing` as if the kernel did not have it.
        arguments: all of them must hold; none are asked for when empty.
    """

    call: str
    action: Action
    arguments: tuple[Argument, ...] = ()


@dataclass(frozen=True, slots=True)
class Policy:
    """The rules of one variant.

    Args:
        newest: the last number that is known; later ones are missing.
        unassigned: ranges of numbers, both ends included, that are missing too, by architecture.
        rules: for all architectures; some calls exist on one alone.
    """

    newest: int
    unassigned: dict[str, tuple[tuple[int, int], ...]]
    rules: tuple[Rule, ...]


def read_policy(text: str, variant: str) -> Policy:
    """Return the rules of a variant.

    Raises:
        ValueError: the text is no policy, or two of its groups contradict each other.
    """
    document = tomllib.loads(text)
    grants = set(variant.split("-")) - {"plain"}
    missing = (Rule(call, "missing") for group in document["missing"] for call in group["calls"])
    groups = [group for group in document["allow"] if _applies(group, grants)]
    allowed = [rule for group in groups for rule in _rules(group)]
    unassigned = {
        arch: tuple((first, last) for first, last in ranges)
        for arch, ranges in document["unassigned"].items()
    }
    return Policy(document["newest"], unassigned, _consistent((*missing, *allowed)))


def _applies(group: dict[str, Any], grants: set[str]) -> bool:
    if not group["name"] or not group["why"]:
        raise ValueError(f"a group without a name or a reason: {group}")
    if "with" in group:
        return bool(grants & set(group["with"]))
    return group.get("without") not in grants


def _rules(group: dict[str, Any]) -> list[Rule]:
    alternatives = [_alternatives(argument) for argument in group.get("args", ())]
    return [
        Rule(call, "allow", arguments)
        for call in group["calls"]
        for arguments in product(*alternatives)
    ]


def _alternatives(argument: dict[str, Any]) -> list[Argument]:
    whole = _POINTER_MASK if argument.get("bits") == _POINTER_MASK.bit_length() else _INT_MASK
    mask = argument.get("mask", whole)
    wrong = [value for value in argument["values"] if value & ~mask]
    if wrong:
        raise ValueError(f"values {wrong} never hold below the mask {mask:#x}")
    return [Argument(argument["index"], mask, value) for value in argument["values"]]


def _consistent(rules: tuple[Rule, ...]) -> tuple[Rule, ...]:
    """Refuse a call that is both allowed outright and under conditions: one of them is a slip."""
    whole = [rule.call for rule in rules if not rule.arguments]
    conditional = {rule.call for rule in rules if rule.arguments}
    twice = {call for call in whole if whole.count(call) > 1} | conditional & set(whole)
    if twice or len(set(rules)) != len(rules):
        raise ValueError(f"contradicting or repeated rules for {sorted(twice)}")
    return rules
