"""Attacks that are known to come through, each with the level from which it is and the reason.

`docs/explanation/isolation.md` names the same ones.
"""

from __future__ import annotations

LEVELS = ("A", "A-", "B")
_WRITES = (
    "one run may write 256 MiB of lines; while they are parsed and logged, the server, which is "
    "not counted for the trigger, takes four times as much"
)
# Name of the attack: the levels at which it comes through, and why.
EXCEPTIONS: dict[str, tuple[tuple[str, ...], str]] = {"floods_huge_lines": (LEVELS, _WRITES)}
