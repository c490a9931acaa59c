"""What a server lets a trigger have: kinds of grants, paths, ceilings of limits."""

from __future__ import annotations

import itertools
import os

from engine.config import Config
from engine.errors import InvalidParameter
from engine.model.grant_paths import check_paths
from engine.model.grants import Grants, check_kinds
from engine.model.limits import Limits, check_ceilings

__all__ = ["Admission"]

_MOST_FOLDERS = 10_000  # that are looked into


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
        for path in grants.write:
            self._check_holds_no_plugin(path)
        check_ceilings(limits, self._sandbox.ceilings)

    def _check_holds_no_plugin(self, path: str) -> None:
        """Refuse a folder of plugins: who may write there could change what the others see."""
        if os.path.dirname(path) != self._plugin_dir:  # noqa: PTH120  keeps links
            return
        walk = itertools.islice(os.walk(path), _MOST_FOLDERS)
        for names in ([path], *(names for _, _, names in walk)):
            if any(name.endswith(".py") for name in names):
                raise InvalidParameter(
                    f"grant 'write={path}' cannot be given: plugins lie in it, which their author "
                    "could change; grant a folder without Python files"
                )


def _real(paths: tuple[str, ...]) -> tuple[str, ...]:
    """Return where symbolic links lead."""
    return tuple(map(os.path.realpath, paths))
