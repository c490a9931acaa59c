"""What plugins and requests ask for, read where it stands. Any thread that may wait for files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from packaging.requirements import Requirement

from engine.environments.asking import asked_in_file, asked_in_list, asked_of, replaced
from engine.environments.installation import Wanted, read_requirements
from engine.environments.reading import texts_of
from engine.environments.requirements import check_packages
from engine.model.lock import Asked
from engine.plugins.source import PluginFolder, Source

__all__ = ["Wishes", "names_of"]


class Wishes:
    """Reads what is asked for.

    Args:
        plugins: where plugins are found.
    """

    def __init__(self, plugins: PluginFolder) -> None:
        self._plugins = plugins

    def of(
        self, plugin: str, given: Sequence[str] = (), source: Source | None = None
    ) -> Asked | None:
        """Return what a plugin and its trigger ask for; None for nothing.

        Args:
            plugin: by the name that its trigger gives it.
            given: requirements of the trigger.
            source: its code, when that was read already.

        Raises:
            PluginFileError: it cannot be read.
            RequirementsInvalid: what it asks for is not acceptable.
        """
        return asked_of(texts_of(source or self._plugins.open(plugin).current()), given)

    def with_installed(self, before: Asked, wanted: Wanted) -> Asked:
        """Return what is asked for once something was installed as well.

        Raises:
            PackageRefused, RequirementsInvalid: it is not acceptable.
        """
        if wanted.requirements is None:
            check_packages(wanted.packages)
            return replaced(before, asked_in_list(wanted.packages, "the packages"))
        path = wanted.requirements
        listed = asked_in_file(read_requirements(Path(path)), path, is_told=False)
        return replaced(before, listed)


def names_of(asked: Asked) -> tuple[str, ...]:
    """Return the names of the distributions that are asked for."""
    return tuple(dict.fromkeys(Requirement(text).name for text in asked.requirements))
