"""What all workers of a server have in common: sockets, homes, limits."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from pathlib import Path

from engine.environments.home import Home, Homes
from engine.sandbox import tree
from engine.workers.conversation import RunLimits
from engine.workers.disk import Disk
from engine.workers.lane import Context
from engine.workers.quarters import Quarters
from engine.workers.roster import Roster

__all__ = ["SOCKETS_MODE", "Premises"]

# Workers with a user id of their own pass through to their own folder, and list nothing.
SOCKETS_MODE = 0o711


class Premises:
    """Shared by all spawners; any thread may call.

    Args:
        context: the process-wide ZeroMQ context.
        plugin_dir: where plugins lie; made when it does not exist.
        homes: tell in which environments workers live.
        runtime_dir: where runtime folders are kept, for this server alone; names its sockets.
        limits: time limits of starts and runs.
        mirror_value_bytes: largest cache value that is mirrored.
        quarters: tells what each worker may see and use; without, none is confined.
    """

    def __init__(  # noqa: PLR0913  what a server has once
        self,
        context: Context,
        *,
        plugin_dir: Path,
        homes: Homes,
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
        self.homes = homes
        self.sockets = _socket_folder(runtime_dir)

    def home(self, trigger_id: int) -> Home:
        """Return where workers of a trigger run; see `Homes.of`."""
        self.plugin_dir.mkdir(parents=True, exist_ok=True)
        return self.homes.of(trigger_id)

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
