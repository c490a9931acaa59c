"""The Python environment that plugins run in: `<plugin-dir>/.venv`, made with uv when missing."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import uv

from engine.errors import PluginError

__all__ = ["READABLE", "BrokenEnvironment", "Environment", "open_environment"]

# The umask of what workers read, some of them under another user id.
READABLE = 0o022

log = logging.getLogger(__name__)
_PROBE_TIMEOUT_S = 10.0
_CREATE_TIMEOUT_S = 120.0
_PROBE = (
    "import json,sys,sysconfig;"
    "print(json.dumps([sys.implementation.cache_tag, list(sys.version_info[:3]),"
    "sysconfig.get_platform(), [sys.base_prefix, sys.base_exec_prefix]]))"
)
_MOST_LINKS = 40


class BrokenEnvironment(PluginError):
    """The environment cannot be made or its interpreter does not run."""

    code = "broken_environment"


@dataclass(frozen=True, slots=True)
class Environment:
    """An interpreter and the packages beside it.

    Args:
        root: the virtual environment's folder.
        interpreter: the installed Python that it is based on, outside of it: what lies in it may
            come with a package.
        site_packages: folders for `site.addsitedir`.
        cache_tag: as `cpython-311`; names the runtime folder that fits.
        version: as (3, 11, 7).
        platform: as `linux-x86_64`.
        prefixes: folders outside of it that its Python needs to run.
    """

    root: Path
    interpreter: Path
    site_packages: tuple[Path, ...]
    cache_tag: str
    version: tuple[int, int, int]
    platform: str
    prefixes: tuple[Path, ...] = ()

    @property
    def python(self) -> Path:
        """The link in it to its interpreter, by which installers know it."""
        return self.root / "bin" / "python"


def open_environment(root: Path) -> Environment:
    """Open a virtual environment, creating an empty one when the folder does not exist.

    Raises:
        BrokenEnvironment: it cannot be created, or its Python does not run.
    """
    if not root.exists():
        _create(root)
    link = root / "bin" / "python"
    interpreter = _installed(link, root)
    cache_tag, version, platform, prefixes = _probe(interpreter)
    site_packages = root / "lib" / f"python{version[0]}.{version[1]}" / "site-packages"
    return Environment(
        root,
        interpreter,
        (site_packages,),
        cache_tag,
        version,
        platform,
        _prefixes(link, prefixes),
    )


def _create(root: Path) -> None:
    log.info("creating the plugin environment", extra={"path": root})
    root.parent.mkdir(parents=True, exist_ok=True)
    command = [
        uv.find_uv_bin(),
        "venv",
        "--quiet",
        "--no-project",
        "--no-config",
        "--no-python-downloads",
        "--python",
        sys.executable,
        str(root),
    ]
    result = _run(command, _CREATE_TIMEOUT_S)
    if result.returncode != 0:
        raise BrokenEnvironment(
            f"cannot create the plugin environment {root}: {result.stderr.strip()}"
        )


def _probe(interpreter: Path) -> tuple[str, tuple[int, int, int], str, list[str]]:
    """Ask a Python what it is, again only when its file has changed."""
    try:
        status = interpreter.stat()
    except OSError as error:
        raise BrokenEnvironment(f"cannot run {interpreter}: {error}") from error
    return _answer(interpreter, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=64)
def _answer(
    interpreter: Path, _changed_ns: int, _size: int
) -> tuple[str, tuple[int, int, int], str, list[str]]:
    result = _run([str(interpreter), "-I", "-S", "-c", _PROBE], _PROBE_TIMEOUT_S)
    if result.returncode != 0:
        raise BrokenEnvironment(
            f"the Python of the plugin environment does not run: {interpreter}: "
            f"{result.stderr.strip()}"
        )
    try:
        tag, (major, minor, micro), platform, prefixes = json.loads(result.stdout)
    except (ValueError, TypeError) as error:
        raise BrokenEnvironment(f"{interpreter} does not answer as a Python does") from error
    return tag, (major, minor, micro), platform, prefixes


def _installed(link: Path, root: Path) -> Path:
    """Return the Python that an environment links to, never one that lies in it."""
    interpreter = link.resolve()
    if interpreter.is_relative_to(root.resolve()):
        raise BrokenEnvironment(
            f"{link} is no link to an installed Python, but a program of its own; remove {root} "
            "to have the environment made anew, or make it with: python -m venv --symlinks"
        )
    return interpreter


def _prefixes(link: Path, prefixes: list[str]) -> tuple[Path, ...]:
    """Return where the interpreter is installed, and where its links lead through."""
    found = {Path(prefix).resolve() for prefix in prefixes}
    path = link
    for _ in range(_MOST_LINKS):
        if not path.is_symlink():
            break
        path = path.parent / path.readlink()
        found.add(path.parent.resolve())
    return tuple(sorted(_outermost(found - {link.parent.resolve()})))


def _outermost(folders: set[Path]) -> set[Path]:
    """Return the folders that lie below no other of them."""
    return {folder for folder in folders if not any(p in folders for p in folder.parents)}


def _run(command: list[str], timeout_s: float) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
            check=False,
            umask=READABLE,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BrokenEnvironment(f"cannot run {command[0]}: {error}") from error
