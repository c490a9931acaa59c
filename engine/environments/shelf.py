"""Finished environments, each in a folder that is named by its lock.

    <root>/<lock id>/                   whole and unchanging but for byte code; see `inventory`
    <root>/.building-<lock id>-*/       where one is made
    <root>/.removing-<lock id>-*/       what gave way

An environment is made aside and renamed into its place. Nothing in it is trusted to be there still:
it is compared with its inventory when it is first opened, its interpreter looked for each time.
Any thread may call, one at a time for changes of one lock; `_lock` guards what was opened.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from engine.environments.backend import Supply
from engine.environments.environment import BrokenEnvironment, Environment, open_environment
from engine.environments.interpreters import Interpreter
from engine.environments.inventory import (
    FILE,
    Inventory,
    check_inventory,
    read_inventory,
    write_inventory,
)
from engine.errors import PluginError
from engine.folders import make_folder, sync_folder
from engine.model.lock import Lock
from engine.sandbox import tree

__all__ = ["MissingEnvironment", "Shelf"]

log = logging.getLogger(__name__)
_BUILDING = ".building-"
_REMOVING = ".removing-"
_UNPACKING = ".tmp*"
_ABANDONED_S = 3600.0
# Workers with user ids of their own pass through to their own environment, and list nothing else.
_ROOT_MODE = 0o711
_SCRATCH_MODE = 0o755


class MissingEnvironment(PluginError):
    """There is no environment for a lock."""

    code = "missing_environment"


class Shelf:
    """Keeps environments.

    Args:
        root: its folder; made when first needed.
        supply: where environments are built.
    """

    def __init__(self, root: Path, supply: Supply) -> None:
        self._root = root
        self._supply = supply
        self._lock = threading.Lock()
        self._opened: dict[str, Environment] = {}

    @property
    def root(self) -> Path:
        """Where they lie."""
        return self._root

    def path(self, lock_id: str) -> Path:
        """Return where the environment of a lock is, or would be."""
        return self._root / lock_id

    def open(self, lock_id: str) -> Environment:
        """Return an environment.

        Raises:
            MissingEnvironment: there is none.
            BrokenEnvironment: it is damaged, or its Python is gone or another.
        """
        root = self.path(lock_id)
        if not root.is_dir():
            raise MissingEnvironment(f"there is no environment {root}")
        with self._lock:
            known = self._opened.get(lock_id)
        if known is not None and known.python.exists() and (root / FILE).exists():
            return known
        environment = _verified(root, read_inventory(root))
        with self._lock:
            self._opened[lock_id] = environment
        return environment

    @contextlib.contextmanager
    def scratch(self, label: str) -> Iterator[Path]:
        """Lend an empty folder; all that is in it goes afterwards, and what was built for it.

        Raises:
            OSError: as the system reports it.
        """
        self._make_root()
        folder = Path(tempfile.mkdtemp(prefix=f"{_BUILDING}{label}-", dir=self._root))
        folder.chmod(_SCRATCH_MODE)
        try:
            yield folder
        finally:
            self._clear(folder)

    def put(self, built: Path, lock: Lock, interpreter: Interpreter) -> Environment:
        """Put a finished environment into its place; one that is there gives way.

        Args:
            built: its folder, which is moved.
            lock: what it was made of.
            interpreter: what it is for.

        Raises:
            BrokenEnvironment: it cannot be opened there.
            OSError: as the system reports it.
        """
        self._make_root()
        home = self.path(lock.id)
        write_inventory(built, lock, interpreter)
        with tempfile.TemporaryDirectory(prefix=f"{_REMOVING}{lock.id}-", dir=self._root) as aside:
            fresh = _brought(built, Path(aside) / "new")  # first: this may fail for want of room
            with contextlib.suppress(FileNotFoundError):
                home.rename(Path(aside) / "old")
            fresh.rename(home)
            sync_folder(self._root)
            with self._lock:
                self._opened.pop(lock.id, None)
            tree.remove(str(Path(aside) / "old"))
        environment = open_environment(home)
        with self._lock:
            self._opened[lock.id] = environment
        return environment

    def size_bytes(self, lock_id: str) -> int:
        """Return what an environment holds, shared files included; 0 when it does not say."""
        try:
            return read_inventory(self.path(lock_id)).bytes
        except BrokenEnvironment:
            return 0

    def note_used(self, lock_id: str) -> None:
        """Note that a worker was started in an environment."""
        with contextlib.suppress(OSError):
            os.utime(self.path(lock_id) / FILE)

    def unused(self, older_than_s: float) -> Iterator[str]:
        """Yield the locks whose environments were not used for so long, as it is at each step."""
        limit_s = time.time() - older_than_s
        yield from (path.name for path in list(self._folders()) if _used_s(path) < limit_s)

    def remove(self, lock_id: str) -> None:
        """Remove an environment; nothing when there is none.

        Raises:
            OSError: as the system reports it.
        """
        with self._lock:
            self._opened.pop(lock_id, None)
        with tempfile.TemporaryDirectory(prefix=f"{_REMOVING}{lock_id}-", dir=self._root) as aside:
            with contextlib.suppress(FileNotFoundError):
                self.path(lock_id).rename(Path(aside) / "old")
            tree.remove(str(Path(aside) / "old"))

    def sweep(self) -> None:
        """Remove what was left half made or half removed; when nothing is being made."""
        for path in self._supply.packages.glob(_UNPACKING):
            # Of an installer that was killed; those of other servers may be at work.
            if time.time() - path.lstat().st_mtime > _ABANDONED_S + self._supply.timeout_s:
                self._clear(path)
        if not self._root.is_dir():
            return
        for path in sorted(self._root.iterdir()):
            if path.name.startswith((_BUILDING, _REMOVING)):
                log.info("removing a half made environment", extra={"path": path})
                self._clear(path)

    def _folders(self) -> Iterator[Path]:
        if self._root.is_dir():
            yield from (path for path in self._root.iterdir() if not path.name.startswith("."))

    def _make_root(self) -> None:
        if not self._root.is_dir():
            make_folder(self._root)
            self._root.chmod(_ROOT_MODE)

    def _clear(self, folder: Path) -> None:
        for path in (self._supply.building(folder), folder):
            try:
                tree.remove(str(path))
            except OSError as error:
                log.warning("cannot remove a folder", extra={"path": path, "error": str(error)})


def _verified(root: Path, inventory: Inventory) -> Environment:
    check_inventory(root, inventory)
    link = root / "bin" / "python"
    if not link.exists():
        raise BrokenEnvironment(
            f"the Python of the environment {root} is gone: {inventory.interpreter}"
        )
    if os.path.realpath(link) != os.path.realpath(inventory.interpreter):
        raise BrokenEnvironment(
            f"the environment {root} was made for {inventory.interpreter}, and its Python is "
            f"{os.path.realpath(link)} now"
        )
    environment = open_environment(root)
    python = f"{environment.version[0]}.{environment.version[1]}"
    if (python, environment.platform) != (inventory.python, inventory.platform):
        raise BrokenEnvironment(
            f"the environment {root} is for Python {inventory.python} on {inventory.platform}, and "
            f"{environment.interpreter} is {python} on {environment.platform} now"
        )
    return environment


def _brought(built: Path, near: Path) -> Path:
    """Bring a folder near its place by a rename, or as a copy from another file system or mount."""
    try:
        return built.rename(near)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        return Path(shutil.copytree(built, near, symlinks=True))


def _used_s(folder: Path) -> float:
    try:
        return (folder / FILE).stat().st_mtime
    except OSError:
        return 0.0
