"""Installs packages into the plugins' environment, with uv or its own pip.

Only wheels are taken: to build a package runs its code, here as the server. uv finds and fetches
everything before it changes the environment, so that what cannot be had changes nothing. The
installer's exit status decides; whether something changed is seen in the folder itself, because an
installer that was stopped may have begun.

    submit => our one thread: check -> environment -> installer -> changed? -> answer -> workers

`submit` and `stop` may be called from any thread; `_lock` guards `_process`.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import signal
import subprocess
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import uv

from engine.errors import Busy, EngineFault, Stopping, UserError
from engine.plugins.environments import Environment
from engine.plugins.requirements import PackageRefused, check_packages, check_requirements

__all__ = ["InstallDisabled", "InstallFailed", "Installer", "PackagesUnavailable", "Wanted"]

log = logging.getLogger(__name__)
_MOST_WAITING = 8
_TAIL_CHARS = 4000
_MAX_REQUIREMENTS_BYTES = 1024 * 1024
_ONLY_WHEELS = ("--only-binary", ":all:")
_CREDENTIALS = re.compile(r"(?<=://)[^/\s@]+@")
_UNPARSED = re.compile(r"(failed to|couldn't) parse", re.IGNORECASE)
# Whatever could lead the installer to another environment, to sources, or to our own secrets.
_DROPPED_VARIABLES = re.compile(
    r"VIRTUAL_ENV|CONDA_.*|PYTHON.*|INFLUXDB3_.*|BULKHEAD_.*|UV_SYSTEM_PYTHON|UV_PYTHON.*"
    r"|UV_CONFIG_FILE|UV_PROJECT.*|(UV|PIP)_(NO_BINARY.*|ONLY_BINARY|TARGET|PREFIX|ROOT|USER|REQ.*)"
)


class InstallDisabled(UserError):
    """The server is set up to install nothing."""

    code = "install_disabled"
    http_status = 403

    def __init__(self) -> None:
        super().__init__(
            "Package installation has been disabled. "
            "Contact your administrator for more information."
        )


class PackagesUnavailable(UserError):
    """There is no set of wheels that fits what was asked for."""

    code = "packages_unavailable"
    http_status = 422


class InstallFailed(EngineFault):
    """The installer did not come to an answer: no index, no time, no room, no pip."""

    code = "install_failed"


@dataclass(frozen=True, slots=True)
class Wanted:
    """Packages by name, or a requirements file of this machine."""

    packages: tuple[str, ...] = ()
    requirements: str | None = None


class Installer:
    """Runs one installation after the other.

    Args:
        environment: returns the environment, made when missing; raises BrokenEnvironment.
        package_manager: `discover`, `uv`, `pip` or `disabled`.
        timeout_s: of one installation.
        note_change: called when the packages have changed, before whoever asked is answered.
        on_changed: called after that, to have the workers renewed.
    """

    def __init__(
        self,
        environment: Callable[[], Environment],
        package_manager: str,
        timeout_s: float,
        *,
        note_change: Callable[[], None],
        on_changed: Callable[[], None],
    ) -> None:
        self._environment = environment
        self._package_manager = package_manager
        self._timeout_s = timeout_s
        self._note_change = note_change
        self._on_changed = on_changed
        self._free = threading.Semaphore(_MOST_WAITING)
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._is_stopping = False
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="installer")

    def submit(self, wanted: Wanted) -> Future[None]:
        """Queue an installation.

        Returns:
            A future that raises PackagesUnavailable, InstallFailed, BrokenEnvironment or Stopping.

        Raises:
            InstallDisabled: nothing may be installed.
            PackageRefused: what is wanted is not acceptable.
            Busy: too many wait already.
            Stopping: the server is shutting down.
        """
        if self._package_manager == "disabled":
            raise InstallDisabled
        if wanted.requirements is None:
            check_packages(wanted.packages)
        if not self._free.acquire(blocking=False):
            raise Busy(f"{_MOST_WAITING} installations wait already; try again shortly")
        answer: Future[None] = Future()
        answer.add_done_callback(lambda _: self._free.release())
        try:
            self._pool.submit(self._serve, wanted, answer)
        except RuntimeError as error:
            answer.cancel()
            raise Stopping from error
        return answer

    def stop(self) -> None:
        """Give up what runs, and refuse the rest."""
        with self._lock:
            self._is_stopping = True
            if self._process is not None:
                _kill(self._process)
        self._pool.shutdown(wait=True)

    def _serve(self, wanted: Wanted, answer: Future[None]) -> None:
        if not answer.set_running_or_notify_cancel():
            return
        try:
            has_changed = self._install(wanted)
        except BaseException as error:  # noqa: BLE001  it is raised where the answer is awaited
            answer.set_exception(error)
            return
        answer.set_result(None)
        if has_changed:
            self._on_changed()

    def _install(self, wanted: Wanted) -> bool:
        if wanted.requirements is not None:
            check_requirements(_read(Path(wanted.requirements)))
        environment = self._environment()
        command = self._command(environment, wanted)
        before = _fingerprint(environment)
        log.info("installing packages", extra={"packages": wanted.packages})
        try:
            self._run(command)
        finally:
            has_changed = _fingerprint(environment) != before
            if has_changed:
                self._note_change()
        return has_changed

    def _command(self, environment: Environment, wanted: Wanted) -> list[str]:
        match self._package_manager:
            case "pip":
                if not any((path / "pip").is_dir() for path in environment.site_packages):
                    raise InstallFailed(
                        f"the environment {environment.root} has no pip; "
                        "start the server with --package-manager uv"
                    )
                command = [str(environment.interpreter), "-m", "pip", "install", "--quiet"]
                command += ["--no-input", "--disable-pip-version-check", *_ONLY_WHEELS]
            case _:
                command = [uv.find_uv_bin(), "pip", "install", "--quiet", "--no-progress"]
                command += ["--color", "never", "--no-config", "--link-mode", "copy", *_ONLY_WHEELS]
                command += ["--python", str(environment.interpreter)]
        if wanted.requirements is not None:
            return [*command, "-r", str(Path(wanted.requirements).absolute())]
        return [*command, "--", *wanted.packages]

    def _run(self, command: Sequence[str]) -> None:
        process = self._start(command)
        try:
            output, _ = process.communicate(timeout=self._timeout_s)
        except subprocess.TimeoutExpired as error:
            _kill(process)
            process.communicate()
            raise InstallFailed(
                f"the installation passed its time limit of {self._timeout_s:g} s and was stopped"
            ) from error
        finally:
            with self._lock:
                self._process = None
        if self._is_stopping:
            raise Stopping
        if process.returncode != 0:
            raise _failure(process.returncode, output)

    def _start(self, command: Sequence[str]) -> subprocess.Popen[str]:
        with self._lock:
            if self._is_stopping:
                raise Stopping
            try:
                self._process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    text=True,
                    errors="replace",
                    start_new_session=True,
                    env=_variables(),
                )
            except OSError as error:
                raise InstallFailed(f"cannot run {command[0]}: {error}") from error
            return self._process


def _failure(status: int, output: str) -> UserError | EngineFault:
    text = _CREDENTIALS.sub("***@", output).strip()[-_TAIL_CHARS:]
    text = text or f"the installer ended with status {status}"
    # uv ends with 1 when there is no solution, with 2 on everything else.
    if status == 1 or _UNPARSED.search(text):
        return PackagesUnavailable(text)
    return InstallFailed(text)


def _read(path: Path) -> str:
    try:
        if not path.is_file():
            raise PackageRefused(f"there is no requirements file {path} on the server")
        with path.open("rb") as file:
            content = file.read(_MAX_REQUIREMENTS_BYTES + 1)
        if len(content) > _MAX_REQUIREMENTS_BYTES:
            raise PackageRefused(f"{path} is larger than {_MAX_REQUIREMENTS_BYTES} bytes")
        return content.decode("utf-8-sig")
    except (OSError, ValueError) as error:
        raise PackageRefused(f"cannot read the requirements file {path}: {error}") from error


def _fingerprint(environment: Environment) -> frozenset[tuple[str, int]]:
    """Return what changes whenever a package comes, goes or is replaced."""
    found: set[tuple[str, int]] = set()
    for folder in environment.site_packages:
        with contextlib.suppress(OSError), os.scandir(folder) as entries:
            found |= {(entry.path, entry.stat().st_ctime_ns) for entry in entries}
    return frozenset(found)


def _variables() -> dict[str, str]:
    variables = os.environ.items()
    return {name: value for name, value in variables if not _DROPPED_VARIABLES.fullmatch(name)}


def _kill(process: subprocess.Popen[str]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
