"""What a server lets a trigger have: kinds of grants, paths, ceilings of limits."""

from __future__ import annotations

import os

from engine.config import Config
from engine.model.grant_paths import check_paths
from engine.model.grants import Grants, check_kinds
from engine.model.limits import Limits, check_ceilings

__all__ = ["Admission"]


class Admission:
    """The rules of one server; any thread may call, and waits for the disk."""

    def __init__(self, config: Config) -> None:
        self._sandbox = config.sandbox
        self._plugin_dir = os.path.abspath(config.plugin_dir)  # noqa: PTH100  keeps links
        self._data_dir = os.path.abspath(config.data_dir)  # noqa: PTH100

    def check(self, grants: Grants, limits: Limits) -> None:
        """Check what a trigger asks for.

        Raises:
            InvalidParameter: the server does not give it; the message says what and why.
        """
        check_kinds(grants, self._sandbox.allowed_grants)
        check_paths(grants, self._plugin_dir, self._data_dir)
        check_paths(
            Grants(read=_real(grants.read), write=_real(grants.write)),
            os.path.realpath(self._plugin_dir),
            os.path.realpath(self._data_dir),
        )
        check_ceilings(limits, self._sandbox.ceilings)


def _real(paths: tuple[str, ...]) -> tuple[str, ...]:
    """Return where symbolic links lead."""
    return tuple(map(os.path.realpath, paths))
