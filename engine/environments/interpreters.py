"""The Pythons of this machine: found where they usually are, and chosen by version.

    the server's own, python3.N on PATH, pyenv's versions, /usr/bin, the folders of --python-dir

None is ever downloaded. Scripts in the place of a Python, as pyenv's shims, are passed by: the
Python that they stand for is found in its own folder. Each is started once to ask what it is, and
again when its file has changed. Any thread may call; `_lock` guards what is known.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import Version

from engine.errors import UserError

__all__ = ["LEAST_PYTHON", "Interpreter", "Interpreters", "NoInterpreter"]

# Of what workers run in: their own code is written for it.
LEAST_PYTHON = (3, 11)
_NAME = re.compile(r"python3\.\d+")
_PROBE_TIMEOUT_S = 10.0
# Only releases, only CPython with its lock: packages of ours are built for these.
_PROBE = (
    "import json,os,sys,sysconfig;"
    "print(json.dumps([list(sys.version_info[:3]), sysconfig.get_platform(),"
    "sys.implementation.cache_tag, [sys.base_prefix, sys.base_exec_prefix],"
    "os.path.realpath(getattr(sys, '_base_executable', '') or sys.executable),"
    "sys.version_info[3] == 'final' and sys.implementation.name == 'cpython'"
    " and not sysconfig.get_config_var('Py_GIL_DISABLED')]))"
)


class NoInterpreter(UserError):
    """No Python of this machine fits what is asked for."""

    code = "no_interpreter"
    http_status = 422


@dataclass(frozen=True, slots=True)
class Interpreter:
    """An installed Python.

    Args:
        path: its program, no link.
        version: as (3, 11, 7).
        platform: as the standard library names it, `linux-x86_64`.
        cache_tag: as `cpython-311`.
        prefixes: folders that it needs to run.
    """

    path: Path
    version: tuple[int, int, int]
    platform: str
    cache_tag: str
    prefixes: tuple[Path, ...]

    @property
    def python(self) -> str:
        """The version that packages are built for, as `3.11`."""
        return f"{self.version[0]}.{self.version[1]}"

    @property
    def reads(self) -> tuple[Path, ...]:
        """What a process in it has to see."""
        return (self.path, *self.prefixes)

    @property
    def release(self) -> str:
        """The whole version, as `3.11.7`."""
        return ".".join(str(part) for part in self.version)


class Interpreters:
    """Finds and chooses Pythons.

    Args:
        python_dirs: looked into first, and into their `bin`, and the `bin` of what they hold.
        variables: of the server: PATH, HOME, PYENV_ROOT.
        own: the server's own Python.
    """

    def __init__(
        self,
        python_dirs: Iterable[Path] = (),
        *,
        variables: dict[str, str] | None = None,
        own: Path = Path(sys.executable),
    ) -> None:
        self._python_dirs = tuple(python_dirs)
        self._variables = dict(os.environ if variables is None else variables)
        self._own = own
        self._lock = threading.Lock()
        self._known: dict[tuple[Path, int], Interpreter | None] = {}

    @property
    def own(self) -> Interpreter:
        """The server's Python.

        Raises:
            NoInterpreter: it does not run any more.
        """
        found = self._asked(self._own)
        if found is None:
            raise NoInterpreter(f"the server's own Python does not run: {self._own}")
        return found

    def found(self) -> tuple[Interpreter, ...]:
        """Return all that are there, each once: the server's own, then as they were found."""
        found = (self._asked(path) for path in (self._own, *self._paths()))
        return tuple({one.path: one for one in found if one is not None}.values())

    def pick(self, specifiers: str = "") -> Interpreter:
        """Choose a Python: the server's own when it fits, else the newest that does.

        Args:
            specifiers: as `>=3.12,<3.14`; empty for any.

        Raises:
            NoInterpreter: none fits; says which are there.
        """
        try:
            wanted = SpecifierSet(specifiers)
        except InvalidSpecifier as error:
            raise NoInterpreter(f"{specifiers!r} is no version of Python: {error}") from error
        with contextlib.suppress(NoInterpreter):
            if _fits(self.own, wanted):
                return self.own
        there = self.found()
        fitting = [one for one in there if _fits(one, wanted)]
        if not fitting:
            raise NoInterpreter(_refusal(specifiers, there))
        return max(fitting, key=lambda one: one.version)

    def for_lock(self, python: str, platform: str) -> Interpreter:
        """Choose a Python for a lock: any release of its version will do.

        Args:
            python: as `3.11`.
            platform: as `linux-x86_64`.

        Raises:
            NoInterpreter: there is none.
        """
        interpreter = self.pick(f"=={python}.*")
        if interpreter.platform != platform:
            raise NoInterpreter(
                f"the packages are for {platform}, and this machine is {interpreter.platform}"
            )
        return interpreter

    def _paths(self) -> Iterator[Path]:
        for folder in self._folders():
            with contextlib.suppress(OSError):
                yield from sorted(path for path in folder.iterdir() if _NAME.fullmatch(path.name))

    def _folders(self) -> Iterator[Path]:
        for folder in self._python_dirs:
            yield from (folder, folder / "bin", *sorted(folder.glob("*/bin")))
        on_path = self._variables.get("PATH", "").split(os.pathsep)
        yield from (Path(folder) for folder in on_path if os.path.isabs(folder))  # noqa: PTH117
        home = Path(self._variables.get("HOME", "/"))
        pyenv = Path(self._variables.get("PYENV_ROOT") or home / ".pyenv")
        yield from sorted(pyenv.glob("versions/*/bin"))
        yield Path("/usr/bin")

    def _asked(self, path: Path) -> Interpreter | None:
        """Return what a file says that it is; None when it is no Python for us."""
        try:
            real = path.resolve(strict=True)
            key = real, real.stat().st_mtime_ns
        except (OSError, RuntimeError):
            return None
        with self._lock:
            if key in self._known:
                return self._known[key]
        answer = _ask(real)
        with self._lock:
            self._known[key] = answer
        return answer


def _fits(interpreter: Interpreter, wanted: SpecifierSet) -> bool:
    is_new = interpreter.version >= LEAST_PYTHON
    return is_new and wanted.contains(Version(interpreter.release), prereleases=True)


def _refusal(specifiers: str, there: Iterable[Interpreter]) -> str:
    ordered = sorted(there, key=lambda one: one.version, reverse=True)
    new = ", ".join(dict.fromkeys(one.release for one in ordered if one.version >= LEAST_PYTHON))
    old = ", ".join(dict.fromkeys(one.release for one in ordered if one.version < LEAST_PYTHON))
    least = ".".join(map(str, LEAST_PYTHON))
    return (
        f"no Python of this machine fits {specifiers or 'plugins'}: there is {new or 'none'}"
        + (f" (and {old}, in which no plugin runs)" if old else "")
        + f"; ask for one of these, or install one that fits, {least} or newer, and name its "
        "folder with bulkhead serve --python-dir where it is not found"
    )


def _ask(path: Path) -> Interpreter | None:
    with contextlib.suppress(OSError, ValueError, TypeError, subprocess.SubprocessError):
        with path.open("rb") as file:
            if file.read(2) == b"#!":
                return None
        answer = subprocess.run(
            [str(path), "-I", "-S", "-c", _PROBE],
            capture_output=True,
            text=True,
            timeout=_PROBE_TIMEOUT_S,
            check=True,
        )
        (major, minor, micro), platform, tag, prefixes, real, is_fit = json.loads(answer.stdout)
        folders = {Path(prefix).resolve() for prefix in prefixes}
        if is_fit:
            version = (int(major), int(minor), int(micro))
            return Interpreter(Path(real), version, platform, tag, tuple(sorted(folders)))
    return None
