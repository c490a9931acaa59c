"""Where locks are found and environments built, step by step.

    lock    Python -> versions that go together -> lock
    make    scratch folder -> environment -> look through -> check -> try -> rename onto the shelf
    polish  byte code, once it is in service: compiling takes longer than building

All programs go through `run`, which holds them. Any thread may call; a call takes as long as an
installer does.
"""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from engine.environments.backend import Backend, Supply, Workplace
from engine.environments.environment import BrokenEnvironment, Environment, open_environment
from engine.environments.failures import InstallFailed
from engine.environments.intake import take_in
from engine.environments.interpreters import Interpreter, Interpreters
from engine.environments.pip import Pip
from engine.environments.running import Command, OnLine, Run, ignore
from engine.environments.runtime import runtime_folder
from engine.environments.shelf import Shelf
from engine.environments.uv import Uv
from engine.errors import EngineError, UserError
from engine.model.lock import Asked, Lock, lock_of, packages_of

__all__ = ["Tools", "Workshop", "backend_of"]

log = logging.getLogger(__name__)
_NEEDLESS = frozenset(["__pycache__", "tests", "bin", ".lock"])

# Imports what was asked for, in an environment and with a runtime folder, as a plugin would.
Probe = Callable[[Environment, Path, Asked], None]


@dataclass(frozen=True, slots=True)
class Tools:
    """What a workshop works with.

    Args:
        run: runs programs, and holds them.
        stop: ends those that run.
        backend: the installer.
        supply: where packages come from.
        interpreters: the Pythons that are there.
        shelf: where environments go.
        runtime_dir: of the runtime folders.
        probe: tries an environment before it is put into service.
    """

    run: Run
    stop: Callable[[], None]
    backend: Backend
    supply: Supply
    interpreters: Interpreters
    shelf: Shelf
    runtime_dir: Path
    probe: Probe


def backend_of(package_manager: str, supply: Supply) -> Backend:
    """Return the installer of a setting: `uv`, `discover`, `pip` or `disabled`.

    With `disabled`, empty environments are made all the same.
    """
    return Pip(supply) if package_manager == "pip" else Uv(supply)


class Workshop:
    """Finds locks, and makes environments of them; a `Maker`."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools

    def empty(self) -> Lock:
        """Return the lock without packages, for the server's own Python."""
        own = self._tools.interpreters.own
        return lock_of(own.python, own.platform, "")

    def serves(self, asked: Asked, lock: Lock) -> bool:
        """Tell whether a lock is for the Python that would be chosen today.

        Raises:
            NoInterpreter: none fits what is asked for.
        """
        chosen = self._tools.interpreters.pick(asked.python)
        return (chosen.python, chosen.platform) == (lock.python, lock.platform)

    def lock(self, asked: Asked, keep: Lock | None, on_line: OnLine = ignore) -> Lock:
        """Find versions that go together.

        Args:
            asked: what for.
            keep: a lock whose versions are kept where they still fit.
            on_line: is told how far it is.

        Raises:
            NoInterpreter: none fits what is asked for.
            PackagesUnavailable: there are no such packages.
            InstallFailed: the installer came to no answer.
            Stopping: the server is shutting down.
        """
        interpreter = self._tools.interpreters.pick(asked.python)
        if not asked.requirements:
            return lock_of(interpreter.python, interpreter.platform, "")
        is_kept = keep is not None and keep.python == interpreter.python
        on_line("looking for versions that go together")
        with self._workplace("lock", on_line) as place:
            kept = keep.text if keep is not None and is_kept else ""
            text = self._tools.backend.lock(asked, interpreter, place, kept)
        return lock_of(interpreter.python, interpreter.platform, text)

    def make(
        self, lock: Lock, asked: Asked, on_line: OnLine = ignore, *, anew: bool = False
    ) -> Environment:
        """Build an environment, try it, and put it into its place on the shelf.

        Args:
            lock: what it holds.
            asked: what the lock was made for: that is what is tried.
            on_line: is told how far it is.
            anew: also when there is one, which gives way.

        Raises:
            NoInterpreter: the lock is for a Python that is not there.
            PackagesUnavailable: packages of the lock cannot be had any more, or do not fit.
            InstallFailed: the installer came to no answer.
            ProbeFailed: what was asked for cannot be imported.
            BrokenEnvironment: what was built does not run.
            Stopping: the server is shutting down.
        """
        interpreter = self._tools.interpreters.for_lock(lock.python, lock.platform)
        if not anew:
            with contextlib.suppress(EngineError):
                return self._tools.shelf.open(lock.id)
        home = self._tools.shelf.path(lock.id)
        on_line(f"fetching and unpacking, packages: {len(packages_of(lock.text))}")
        with self._workplace(lock.id, on_line, home) as place:
            tree = self._tools.backend.build(lock, interpreter, place)
            take_in(tree, interpreter)
            if lock.text:
                self._try(tree, interpreter, asked, place)
            return self._tools.shelf.put(tree, lock, interpreter)

    def polish(self, environment: Environment) -> None:
        """Compile what an environment holds, and share it with later ones; failing is no loss."""
        program = _bytecode_program()
        cache = self._tools.supply.cache_dir
        command = Command(
            argv=(
                *(str(environment.interpreter), "-I", "-S", str(program)),
                *(str(self._tools.supply.packages), str(environment.site_packages[0])),
            ),
            reads=(program, environment.interpreter, *environment.prefixes),
            writes=(cache, environment.root),
            timeout_s=self._tools.supply.timeout_s,
        )
        try:
            finished = self._tools.run(command)
        except EngineError as error:
            log.info("byte code was not compiled", extra={"error": str(error)})
            return
        if finished.status != 0:
            extra = {"path": environment.root, "output": finished.output[-500:]}
            log.warning("byte code of an environment is incomplete", extra=extra)

    def runtime(self, environment: Environment) -> Path:
        """Return the runtime folder that fits an environment, built when missing.

        Raises:
            BrokenEnvironment: it cannot be had.
        """
        return runtime_folder(self._tools.runtime_dir, environment, self._fetch)

    def stop(self) -> None:
        """Give up what runs and refuse the rest; any thread."""
        self._tools.stop()

    def _try(self, tree: Path, interpreter: Interpreter, asked: Asked, place: Workplace) -> None:
        place.on_line("importing the packages that were asked for")
        with ThreadPoolExecutor(1, thread_name_prefix="checking") as aside:
            checked = aside.submit(self._tools.backend.check, interpreter, tree, place)
            try:
                environment = open_environment(tree)
                self._tools.probe(environment, self.runtime(environment), asked)
            finally:
                checked.result()  # what is missing says more than an import that failed for it

    def _fetch(self, environment: Environment, lock: str, target: Path) -> None:
        """Have packages of ours fetched for a Python that is not the server's."""
        interpreter = Interpreter(
            environment.interpreter,
            environment.version,
            environment.platform,
            environment.cache_tag,
            environment.prefixes,
        )
        try:
            with self._workplace("runtime", ignore) as place:
                fetched = self._tools.backend.fetch(lock, interpreter, place)
                _copy(fetched, target)
        except (InstallFailed, UserError) as error:
            raise BrokenEnvironment(
                f"workers need {_names(lock)} for {environment.cache_tag}, which cannot be had: "
                f"{error}"
            ) from error

    @contextlib.contextmanager
    def _workplace(self, label: str, on_line: OnLine, home: Path = Path()) -> Iterator[Workplace]:
        try:
            with self._tools.shelf.scratch(label) as folder:
                yield Workplace(folder, self._tools.run, on_line, home)
        except OSError as error:
            raise InstallFailed(f"cannot make an environment: {error}") from error


def _names(lock: str) -> str:
    return ", ".join(f"{name}=={version}" for name, version in packages_of(lock).items())


def _copy(fetched: Path, target: Path) -> None:
    """Copy packages, so that they belong to the server."""
    shutil.copytree(fetched, target, symlinks=True, dirs_exist_ok=True, ignore=_needless)


def _needless(folder: str, names: list[str]) -> set[str]:
    # A wheel holds no links; whatever else left one here is not to lead the server anywhere.
    links = {name for name in names if (Path(folder) / name).is_symlink()}
    return links | (_NEEDLESS & set(names))


def _bytecode_program() -> Path:
    found = importlib.util.find_spec("worker")
    if found is None or found.origin is None:
        raise BrokenEnvironment("the package 'worker' is not installed beside 'engine'")
    return Path(found.origin).resolve().parent / "bytecode.py"
