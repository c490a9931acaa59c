"""Where a worker lives: what its trigger was granted and the server's settings, as a policy.

Any thread may call.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePath

from engine.config import SandboxConfig
from engine.environments.environment import Environment
from engine.environments.shared import SHARED_NAME
from engine.model.grants import Grants
from engine.model.limits import Limits
from engine.model.trigger import Trigger
from engine.plugins.beside import View, seen_by, seen_in
from engine.sandbox.egress import OwnAddress
from engine.sandbox.policy import Policy, ViewEntry, temporary_seen
from engine.sandbox.sandbox import Sandbox
from engine.sandbox.tree import opened, remove

__all__ = ["Place", "Quarters"]

_KEPT_VARIABLES = ("LANG", "LC_ALL")
_SERVERS = ("PATH", "TMPDIR")  # of a worker that is not confined
_PROGRAMS = "/usr/local/bin:/usr/bin:/bin"
_NO_TRIGGER = 0  # of a dry run


@dataclass(frozen=True, slots=True)
class Place:
    """What is made or found for one worker.

    Args:
        environment: of its plugin.
        runtime: the runtime folder that fits it.
        sockets: the folder of its own endpoints.
    """

    environment: Environment
    runtime: Path
    sockets: Path


class Quarters:
    """Tells for each worker what it may see and use.

    Args:
        sandbox: that confines it.
        settings: of the server.
        plugin_dir: where plugins lie.
        private_dir: where the private folders of triggers are kept.
        own_address: host and port of this server, for plugins that may call it.
    """

    def __init__(
        self,
        sandbox: Sandbox,
        settings: SandboxConfig,
        *,
        plugin_dir: Path,
        private_dir: Path,
        own_address: OwnAddress = ("127.0.0.1", 0),
    ) -> None:
        self.sandbox = sandbox
        self.own_address = own_address
        self._settings = settings
        self._plugin_dir = plugin_dir
        self._private_dir = private_dir

    @classmethod
    def unconfined(cls, plugin_dir: Path) -> Quarters:
        """Return quarters without a wall."""
        return cls(Sandbox(), SandboxConfig(), plugin_dir=plugin_dir, private_dir=plugin_dir)

    def grants(self, trigger: Trigger) -> Grants:
        """Return what counts for a trigger, with what all triggers are granted."""
        return self._settings.grants_of(trigger.settings.grants)

    def limits(self, trigger: Trigger) -> Limits:
        """Return what counts for a trigger, with the server's defaults and ceilings."""
        return self._settings.limits_of(trigger.settings.limits)

    def folder(self, trigger_id: int) -> Path:
        """Return the private folder of a trigger, which need not exist."""
        return self._private_dir / str(trigger_id)

    def policy(self, trigger: Trigger, place: Place) -> Policy:
        """Return what a worker may see.

        Raises:
            PluginFileError: its plugin would lie outside the plugin folder.
        """
        grants = self.grants(trigger)
        layers = self.sandbox.layers
        is_confined = self.sandbox.is_on
        policy = Policy(
            trigger_id=trigger.id,
            uid=self.sandbox.uid(trigger.id) if layers.own_uid else None,
            plugin_dir=str(self._plugin_dir),
            private_dir=str(self._private(trigger, place) if is_confined else self._plugin_dir),
            sockets_dir=str(place.sockets),
            runtime_dir=str(place.runtime),
            environment_dir=str(place.environment.root),
            environment_name=self._second_name(place.environment),
            prefixes=tuple(map(str, place.environment.prefixes)),
            view=tuple(self._view(trigger, grants)) if is_confined else (),
            read=tuple(path for path in grants.read if not self._is_in_view(path)),
            write=tuple(path for path in grants.write if not self._is_in_view(path)),
            tmp_bytes=self._settings.tmp_bytes,
            tmp_inodes=self._settings.tmp_inodes,
        )
        return replace(policy, variables=self._variables(policy, place, grants))

    def watch_view(self, trigger: Trigger) -> View:
        """Begin to watch what a trigger's worker sees of the plugin folder."""
        if not self.sandbox.is_on:
            return View((), dict)
        return View(
            seen_in(self._plugin_dir, trigger.plugin),
            lambda: seen_by(self._plugin_dir, trigger.plugin),
        )

    def forget(self, trigger_id: int) -> None:
        """Remove the private folder of a trigger that has been deleted."""
        with contextlib.suppress(FileNotFoundError), opened(str(self._private_dir)) as parent:
            remove(str(trigger_id), parent)

    def sweep(self, trigger_ids: Iterable[int]) -> None:
        """Remove the private folders of triggers that are none of these."""
        kept = set(map(str, trigger_ids))
        with contextlib.suppress(FileNotFoundError):
            for folder in self._private_dir.iterdir():
                if folder.name.isdecimal() and folder.name not in kept:
                    self.forget(int(folder.name))

    def _private(self, trigger: Trigger, place: Place) -> Path:
        # A dry run keeps nothing, and two may run at a time.
        is_dry = trigger.id == _NO_TRIGGER
        return place.sockets / "private" if is_dry else self.folder(trigger.id)

    def _view(self, trigger: Trigger, grants: Grants) -> Iterator[ViewEntry]:
        seen = {name: str(path) for name, path in seen_by(self._plugin_dir, trigger.plugin).items()}
        for path in (*grants.read, *grants.write):
            if self._is_in_view(path):
                seen[Path(path).name] = path
        for relative, path in seen.items():
            # What a granted folder holds is seen in it, and links that a plugin may have put
            # there must not be taken for data files.
            if not any(str(above) in seen for above in PurePath(relative).parents):
                yield ViewEntry(relative, path, is_writable=path in grants.write)

    def _second_name(self, environment: Environment) -> str:
        """Return where plugins expect their environment: they look for files beside it."""
        name = self._plugin_dir / SHARED_NAME
        is_elsewhere = environment.root != name
        return str(name) if self.sandbox.layers.bwrap and is_elsewhere else ""

    def _own_name(self, environment: Environment) -> str:
        name = self._plugin_dir / SHARED_NAME
        is_led_to = name.resolve() == environment.root.resolve()
        return str(name if is_led_to else environment.root)

    def _is_in_view(self, path: str) -> bool:
        return Path(path).parent == self._plugin_dir

    def _variables(self, policy: Policy, place: Place, grants: Grants) -> dict[str, str]:
        """Build the worker's environment: nothing of the server's own that could be a secret."""
        names = (*_KEPT_VARIABLES, *grants.variables)
        given = {name: os.environ[name] for name in names if name in os.environ}
        layers = self.sandbox.layers
        if self.sandbox.is_on:
            given["PATH"] = f"{place.environment.root}/bin:{_PROGRAMS}"
            given["TMPDIR"] = temporary_seen(policy, layers)
        else:
            given |= {name: os.environ[name] for name in _SERVERS if name in os.environ}
        return given | {
            "HOME": policy.private_dir,
            "TZ": "UTC",
            "VIRTUAL_ENV": policy.environment_name or self._own_name(place.environment),
            "PLUGIN_DIR": policy.private_dir,
            "INFLUXDB3_PLUGIN_DIR": policy.private_dir,
        }
