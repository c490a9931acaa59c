"""Named places at which a test may let the process die.

Each step between two promises names itself. Nothing happens there unless somebody has called
`arm`, which only the launcher of the fault tests does: no setting and no variable of the
environment reaches this from outside. Any thread may call `reach`; `arm` comes before the threads.
"""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["arm", "reach"]


class _Armed:
    """What is called at each place; one for the process."""

    hook: Callable[[str], None] | None = None


def arm(hook: Callable[[str], None]) -> None:
    """Call a function with the name of each place that is reached from now on."""
    _Armed.hook = hook


def reach(place: str) -> None:
    """Say that a place is reached, named as `part.what_has_just_happened`."""
    if _Armed.hook is not None:
        _Armed.hook(place)
