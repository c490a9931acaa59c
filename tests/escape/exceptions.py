"""Attacks that are known to come through, each with the level from which it is and the reason.

`docs/explanation/isolation.md` names the same ones.
"""

from __future__ import annotations

# Name of the attack: the levels at which it comes through, and why.
EXCEPTIONS: dict[str, tuple[tuple[str, ...], str]] = {}
