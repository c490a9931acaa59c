"""Where plugins run: an environment and the runtime folder that fits its Python."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from engine.environments.environment import Environment
from engine.errors import PluginError

__all__ = ["BuildingEnvironment", "Home", "Homes"]


class BuildingEnvironment(PluginError):
    """The environment is on its way; `done` tells when to ask again."""

    code = "building_environment"
    http_status = 503

    def __init__(self, text: str, done: Future[None]) -> None:
        super().__init__(text)
        self.done = done


@dataclass(frozen=True, slots=True)
class Home:
    """What a worker is started with.

    Args:
        environment: of its plugin.
        runtime: the runtime folder that fits it.
    """

    environment: Environment
    runtime: Path


class Homes(Protocol):
    """Knows the home of each trigger's workers; any thread may ask."""

    def of(self, trigger_id: int) -> Home:
        """Return where workers of a trigger run now.

        Args:
            trigger_id: catalog id; `SHARED` for what belongs to no trigger.

        Raises:
            BuildingEnvironment: it is being built.
            BrokenEnvironment: it cannot be used; the text says what to do.
        """
        ...

    def watch(self, trigger_id: int) -> Callable[[], bool]:
        """Return a call that tells whether a worker that is started now is outdated by then."""
        ...
