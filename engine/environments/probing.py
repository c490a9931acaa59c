"""Try whether what was installed can be imported, before a plugin depends on it.

The modules of the packages that were asked for are imported, in a process that is confined as the
worker of a trigger without grants: a library that is missing on this machine, a package that wants
a newer one of another, or more memory than the trigger may use, is told to whoever asked for it and
not to the first event.

Where a sandbox is required and the machine has too little of one, nothing is tried: no plugin runs
there either, and its trigger says why.
Any thread may call.
"""

from __future__ import annotations

import secrets
import signal
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from packaging.utils import canonicalize_name

from engine.environments.backend import read_answer
from engine.environments.child import Ending
from engine.environments.environment import Environment
from engine.environments.failures import InstallFailed
from engine.environments.modules import modules_of
from engine.environments.walls import PROBER, Task, Walls
from engine.errors import UserError
from engine.model.grants import Grants
from engine.model.limits import Limits
from engine.sandbox.launch import SandboxUnavailable

__all__ = ["ProbeFailed", "modules_asked", "probe_imports"]

_TIMEOUT_S = 120.0
_PROGRAMS = "/usr/local/bin:/usr/bin:/bin"
_START = "import sys; sys.path.insert(0, sys.argv[1]); from worker.trial import main; main()"
_TOKEN_BYTES = 16
_SIGNALLED = 128
_WAY_OUT = "; ask for another version of its package, or for what it needs as well"


class ProbeFailed(UserError):
    """A package was installed, and cannot be imported by a plugin."""

    code = "probe_failed"
    http_status = 422


def modules_asked(environment: Environment, names: Iterable[str]) -> tuple[str, ...]:
    """Return the modules that stand for some distributions that are installed.

    Of one that brings a module of its own name it is that one: what lies beside it may be for those
    who have something else as well.

    Args:
        environment: that holds them.
        names: of the distributions; those that are not there are passed over, as a requirement
            with a marker that does not hold here.
    """
    wanted = frozenset(map(canonicalize_name, names))
    return tuple(dict.fromkeys(_modules(environment.site_packages, wanted)))


def _modules(site_packages: Iterable[Path], wanted: frozenset[str]) -> Iterator[str]:
    for folder in site_packages:
        for about in sorted(folder.glob("*.dist-info")):
            name = canonicalize_name(about.name.partition("-")[0])
            if name in wanted:
                found = modules_of(_text(about / "RECORD"), _text(about / "top_level.txt"))
                named = [module for module in found if canonicalize_name(module) == name]
                yield from named or found


def _text(path: Path) -> str:
    """Return the text of a file, which came with a package and may be anything."""
    try:
        return read_answer(path)
    except InstallFailed:
        return ""


def probe_imports(
    walls: Walls,
    environment: Environment,
    runtime: Path,
    modules: Iterable[str],
    limits: Limits,
) -> None:
    """Import modules where a plugin would.

    Args:
        walls: around it.
        environment: that holds them, at the place where it is now.
        runtime: the runtime folder that fits it.
        modules: to import, one after the other in one process.
        limits: of the trigger.

    Raises:
        ProbeFailed: one cannot be imported; the text names it and says why.
        InstallFailed: the process could not be started.
        Stopping: the server is shutting down.
    """
    names = tuple(modules)
    if not names or not _may_run(walls):
        return
    report = _Report(secrets.token_hex(_TOKEN_BYTES))
    ending = walls.run(_task(environment, runtime, names, report.token, limits), report.note)
    if ending.status or ending.excess is not None:
        raise ProbeFailed(report.worded(ending))


def _may_run(walls: Walls) -> bool:
    try:
        walls.sandbox.check()
    except SandboxUnavailable:
        return False
    return True


def _task(
    environment: Environment, runtime: Path, modules: tuple[str, ...], token: str, limits: Limits
) -> Task:
    return Task(
        label="probe",
        user=PROBER,
        command=(str(environment.interpreter), "-I", "-S", "-c", _START, str(runtime)),
        document={
            "runtime_dir": str(runtime),
            "environment": str(environment.root),
            "site_packages": [str(path) for path in environment.site_packages],
            "modules": modules,
            "token": token,
        },
        runtime_dir=str(runtime),
        environment_dir=str(environment.root),
        prefixes=tuple(map(str, environment.prefixes)),
        variables={
            "PATH": f"{environment.root}/bin:{_PROGRAMS}",
            "TZ": "UTC",
            "VIRTUAL_ENV": str(environment.root),
        },
        grants=Grants(),
        limits=limits,
        timeout_s=_TIMEOUT_S,
    )


@dataclass(slots=True)
class _Report:
    """What the process says between the lines of the packages; the thread that probes."""

    token: str
    module: str = ""
    error: str = ""

    def note(self, line: str) -> None:
        """Take a line of output."""
        token, _, rest = line.partition(" ")
        if token != self.token:
            return
        event, _, rest = rest.partition(" ")
        self.module, _, error = rest.partition(" ")
        if event == "failed":
            self.error = error

    def worded(self, ending: Ending) -> str:
        """Return why it failed."""
        if not self.module:
            last = ending.output.rpartition("\n")[2]
            return f"the packages cannot be tried: {ending.excess or last or ending.status}"
        subject = f"module {self.module!r} is installed and cannot be imported"
        if ending.excess is not None:
            return f"{subject}: it {ending.excess}"
        return f"{subject}: {self.error or _end_text(ending.status)}{_WAY_OUT}"


def _end_text(status: int) -> str:
    try:
        name = signal.Signals(status - _SIGNALLED).name
    except ValueError:
        return f"it ends the process with status {status}"
    return f"it ends the process, probably by {name}"
