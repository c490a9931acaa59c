"""What all workers of a server have in common: sockets, environment, limits."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from engine.environments.environment import BrokenEnvironment, Environment, open_environment
from engine.environments.runtime import runtime_folder
from engine.sandbox import tree
from engine.workers.conversation import RunLimits
from engine.workers.disk import Disk
from engine.workers.lane import Context
from engine.workers.quarters import Quarters
from engine.workers.roster import Roster

__all__ = ["SOCKETS_MODE", "Premises"]

# Workers with a user id of their own pass through to their own folder, and list nothing.
SOCKETS_MODE = 0o711

_FAILURE_LASTS_S = 2.0


@dataclass(frozen=True, slots=True)
class _Opened:
    environment: Environment
    runtime: Path


class Premises:
    """Shared by all spawners; `_lock` guards the environment, which is opened when first needed.

    Args:
        context: the process-wide ZeroMQ context.
        plugin_dir: where plugins lie; made when it does not exist.
        environment_dir: the virtual environment of the plugins.
        runtime_dir: where runtime folders are kept.
        limits: time limits of starts and runs.
        mirror_value_bytes: largest cache value that is mirrored.
        quarters: tells what each worker may see and use; without, none is confined.
    """

    def __init__(  # noqa: PLR0913  what a server has once
        self,
        context: Context,
        *,
        plugin_dir: Path,
        environment_dir: Path,
        runtime_dir: Path,
        limits: RunLimits,
        mirror_value_bytes: int,
        quarters: Quarters | None = None,
    ) -> None:
        self.context = context
        self.plugin_dir = plugin_dir
        self.limits = limits
        self.mirror_value_bytes = mirror_value_bytes
        self.quarters = quarters or Quarters.unconfined(plugin_dir)
        self.roster = Roster()
        self.disk = Disk(tree.size)
        self._environment_dir = environment_dir
        self._runtime_dir = runtime_dir
        self._lock = threading.Lock()
        self._opened: _Opened | None = None
        self._failure: BrokenEnvironment | None = None
        self._failed_until_s = 0.0
        self._packages_version = 0
        self.sockets = _socket_folder(runtime_dir)

    def environment(self) -> tuple[Environment, Path]:
        """Return the plugins' environment and the runtime folder that fits it.

        Raises:
            BrokenEnvironment: it cannot be made or used; a call some seconds later tries again.
        """
        with self._lock:
            if self._opened is None or not self._opened.environment.python.exists():
                self._opened = self._open()
            return self._opened.environment, self._opened.runtime

    def _open(self) -> _Opened:
        # An interpreter that hangs is not waited for by one trigger after the other.
        if self._failure is not None and time.monotonic() < self._failed_until_s:
            raise self._failure
        try:
            self.plugin_dir.mkdir(parents=True, exist_ok=True)
            environment = open_environment(self._environment_dir)
            runtime = runtime_folder(self._runtime_dir, environment)
        except BrokenEnvironment as failure:
            self._failure, self._failed_until_s = failure, time.monotonic() + _FAILURE_LASTS_S
            raise
        self._failure = None
        return _Opened(environment, runtime)

    def note_packages_changed(self) -> None:
        """Have every worker that is running taken for outdated."""
        with self._lock:
            self._packages_version += 1

    def watch_packages(self) -> Callable[[], bool]:
        """Return a call that tells whether the packages have changed since; no lock is taken."""
        version = self._packages_version
        return lambda: self._packages_version != version

    def close(self) -> None:
        """Remove the sockets."""
        _remove(self.sockets)


def _socket_folder(runtime_dir: Path) -> Path:
    """Make a private folder whose path is short: that of an ipc endpoint ends at 107 bytes.

    Its name follows from the data folder, which only one server holds at a time, so that what a
    killed server left behind is removed by the next.
    """
    name = hashlib.sha256(os.fsencode(runtime_dir.resolve())).hexdigest()[:12]
    folder = Path("/tmp", f"bulkhead-{os.getuid()}-{name}")  # noqa: S108  nobody else's, or not used
    try:
        if folder.exists() and not folder.is_symlink() and folder.stat().st_uid == os.getuid():
            _remove(folder)
        folder.mkdir(mode=0o700)
    except FileExistsError:  # somebody else's
        folder = Path(tempfile.mkdtemp(prefix="bulkhead-", dir="/tmp"))
    folder.chmod(SOCKETS_MODE)  # whatever the umask of the server
    return folder


def _remove(folder: Path) -> None:
    """Remove sockets, and what dry runs have left beside them: plugins made that."""
    with contextlib.suppress(OSError):
        tree.remove(str(folder))
