"""The runtime folder: what a worker process loads before it sees any foreign code.

It holds zmq, msgpack and our `worker` package for one kind of Python, so that a plugin's
environment needs no package of ours and may bring its own versions of the same. A folder is
named by what it holds, built aside, and renamed into place whole; it never changes afterwards.

Workers load it before they are confined. So for a Python that is not the server's, only packages
that have the hashes of `runtime.lock` are put into it, whatever an index says.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import logging
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

from engine.environments.environment import READABLE, BrokenEnvironment, Environment

__all__ = ["Fetch", "runtime_folder"]

log = logging.getLogger(__name__)
_PACKAGES = ("pyzmq", "msgpack")
_COMPILE_TIMEOUT_S = 300.0
_MAIN = '''\
"""Start of a worker process: the folder of this file is first on the path."""

from worker.__main__ import main

main()
'''


# Puts the packages of a lock for an environment's Python into a folder.
Fetch = Callable[[Environment, str, Path], None]


def _nobody(environment: Environment, lock: str, folder: Path) -> None:  # noqa: ARG001
    raise BrokenEnvironment(
        f"workers need packages for {environment.cache_tag} in {folder}, and nobody fetches them"
    )


def runtime_folder(parent: Path, environment: Environment, fetch: Fetch = _nobody) -> Path:
    """Return the runtime folder that fits an environment's Python, building it when missing.

    Args:
        parent: where runtime folders lie.
        environment: of the workers.
        fetch: gets packages for a Python that is not the server's own.

    Raises:
        BrokenEnvironment: its packages cannot be had for that Python.
    """
    worker = _worker_package()
    folder = parent / f"{environment.cache_tag}-{_digest(worker)}"
    if (folder / "__main__.py").exists():
        return folder
    parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=".building-", dir=parent))
    try:
        _fill(scratch, worker, environment, fetch)
        scratch.chmod(0o755)
        scratch.rename(folder)
    except OSError:
        if not (folder / "__main__.py").exists():  # else another server was first
            raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return folder


def _fill(folder: Path, worker: Path, environment: Environment, fetch: Fetch) -> None:
    if _is_our_own_python(environment):
        for package in _PACKAGES:
            _copy_distribution(package, folder)
    else:
        log.info("building a runtime folder", extra={"python": environment.cache_tag})
        fetch(environment, _locked(), folder)
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(worker, folder / "worker", ignore=ignored)
    (folder / "__main__.py").write_text(_MAIN)
    _compile(folder, environment)
    for path in folder.rglob("*"):
        # Whatever the umask of the server: workers may run under another user id.
        path.chmod(path.stat().st_mode | (0o755 if path.is_dir() else 0o644))


def _is_our_own_python(environment: Environment) -> bool:
    ours = (sys.implementation.cache_tag, sysconfig.get_platform())
    return ours == (environment.cache_tag, environment.platform)


def _copy_distribution(package: str, folder: Path) -> None:
    for file in importlib.metadata.files(package) or ():
        if ".." in file.parts or "__pycache__" in file.parts or "tests" in file.parts:
            continue
        target = folder / file
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(os.fspath(file.locate()), target)


def _compile(folder: Path, environment: Environment) -> None:
    """Write byte code now: later the folder is read-only for those who load it."""
    command = [str(environment.interpreter), "-I", "-m", "compileall", "-q", str(folder)]
    try:
        subprocess.run(
            command,
            capture_output=True,
            timeout=_COMPILE_TIMEOUT_S,
            check=True,
            umask=READABLE,
        )
    except (OSError, subprocess.SubprocessError):  # it runs without as well
        log.warning("byte code of the runtime folder is incomplete", extra={"path": folder})


def _worker_package() -> Path:
    found = importlib.util.find_spec("worker")
    if found is None or found.origin is None:
        raise BrokenEnvironment("the package 'worker' is not installed beside 'engine'")
    return Path(found.origin).parent


@cache
def _locked() -> str:
    return Path(__file__).with_name("runtime.lock").read_text()


@cache
def _digest(worker: Path) -> str:
    digest = hashlib.sha256(_locked().encode())
    for package in _PACKAGES:
        digest.update(f"{package}=={importlib.metadata.version(package)}\n".encode())
    for file in sorted(worker.rglob("*.py")):
        digest.update(str(file.relative_to(worker)).encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]
