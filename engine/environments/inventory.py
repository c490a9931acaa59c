"""What a finished environment holds, as its `environment.json` says, to see damage.

    {"lock": id, "python": "3.11", "platform": "linux-x86_64", "interpreter": path,
     "packages": {name: version}, "bytes": n, "files": n, "digest": hex}

The digest is over path and size of every file and path and target of every link, sorted; byte code
is left out, since it comes later. The file is written last and is durable: an environment without
it is none. Any thread may call.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from engine.environments.environment import BrokenEnvironment
from engine.environments.interpreters import Interpreter
from engine.folders import sync_folder
from engine.model.lock import Lock, packages_of

__all__ = ["FILE", "Inventory", "check_inventory", "read_inventory", "write_inventory"]

FILE = "environment.json"
_MODE = 0o644
_LOCK = ".lock"  # of uv, which leaves it behind for everybody to write to
_BYTECODE = "__pycache__"
_MAX_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Inventory:
    """The words of the file."""

    lock: str
    python: str
    platform: str
    interpreter: str
    packages: dict[str, str]
    bytes: int
    files: int
    digest: str


def write_inventory(root: Path, lock: Lock, interpreter: Interpreter) -> Inventory:
    """Note what lies in a folder, durably.

    Raises:
        OSError: as the system reports it.
    """
    path = root / FILE
    path.unlink(missing_ok=True)  # a package may bring one
    (root / _LOCK).unlink(missing_ok=True)
    size, files, digest = _measured(root)
    inventory = Inventory(
        lock=lock.id,
        python=lock.python,
        platform=lock.platform,
        interpreter=str(interpreter.path),
        packages=packages_of(lock.text),
        bytes=size,
        files=files,
        digest=digest,
    )
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with open(os.open(path, flags, _MODE), "w", encoding="utf-8") as file:  # noqa: PTH123  flags
        json.dump(asdict(inventory), file, indent=1)
        file.flush()
        os.fchmod(file.fileno(), _MODE)
        os.fsync(file.fileno())
    sync_folder(root)
    return inventory


def read_inventory(root: Path) -> Inventory:
    """Return what a finished environment holds.

    Raises:
        BrokenEnvironment: it does not say so.
    """
    try:
        with (root / FILE).open("rb") as file:
            return Inventory(**json.loads(file.read(_MAX_BYTES)))
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise BrokenEnvironment(
            f"the environment {root} is damaged: its {FILE} cannot be read: {error}"
        ) from error


def check_inventory(root: Path, inventory: Inventory) -> None:
    """Compare what lies in a folder with what should.

    Raises:
        BrokenEnvironment: it is something else.
    """
    try:
        size, files, digest = _measured(root)
    except OSError as error:
        raise BrokenEnvironment(f"the environment {root} cannot be read: {error}") from error
    if digest == inventory.digest:
        return
    raise BrokenEnvironment(
        f"the environment {root} is damaged: it holds {files} files of {size} bytes, "
        f"and was built with {inventory.files} of {inventory.bytes}; or they have other names"
    )


def _measured(root: Path) -> tuple[int, int, str]:
    """Return the bytes and number of files, and their digest."""
    found = sorted(_entries(str(root), ""))
    digest = hashlib.sha256("".join(text for text, _ in found).encode(errors="surrogateescape"))
    return sum(size for _, size in found), len(found), digest.hexdigest()


def _entries(folder: str, prefix: str) -> Iterator[tuple[str, int]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            name = prefix + entry.name
            if entry.is_dir(follow_symlinks=False):
                if entry.name != _BYTECODE:
                    yield from _entries(entry.path, f"{name}/")
            elif name != FILE:
                yield _entry(entry, name)


def _entry(entry: os.DirEntry[str], name: str) -> tuple[str, int]:
    status = entry.stat(follow_symlinks=False)
    if stat.S_ISLNK(status.st_mode):
        return f"{name}\0{os.readlink(entry.path)}\n", 0  # noqa: PTH115  an entry has no Path
    return f"{name}\0{status.st_size}\n", status.st_size
