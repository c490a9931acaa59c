"""Installs packages into the plugins' environment, with uv or its own pip.

uv finds and fetches everything before it changes the environment, so that what cannot be had
changes nothing. The installer's exit status decides; whether something changed is seen in the
folder itself, because an installer that was stopped may have begun.

    submit => our one thread: check -> environment -> installer -> changed? -> answer -> workers

`submit` and `stop` may be called from any thread; `_lock` guards `_process`.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from engine.environments.environment import READABLE, Environment
from engine.environments.installation import (
    InstallFailed,
    Wanted,
    failure_of,
    fingerprint,
    install_command,
    install_variables,
    masked,
    read_requirements,
)
from engine.environments.requirements import check_packages, check_requirements
from engine.errors import Busy, Stopping, UserError

__all__ = ["InstallDisabled", "Installer"]

log = logging.getLogger(__name__)
_MOST_WAITING = 8


class InstallDisabled(UserError):
    """The server is set up to install nothing."""

    code = "install_disabled"
    http_status = 403

    def __init__(self) -> None:
        super().__init__(
            "Package installation has been disabled. "
            "Contact your administrator for more information."
        )


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
        self._has_changed = False  # of the thread
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
        self._has_changed = False
        try:
            self._install(wanted)
        except BaseException as error:  # noqa: BLE001  it is raised where the answer is awaited
            log.warning("packages not installed", extra={"error": str(error)})
            answer.set_exception(error)
        else:
            answer.set_result(None)
        if self._has_changed:
            self._on_changed()

    def _install(self, wanted: Wanted) -> None:
        if wanted.requirements is not None:
            check_requirements(read_requirements(Path(wanted.requirements)))
        environment = self._environment()
        command = install_command(environment, self._package_manager, wanted)
        before = fingerprint(environment)
        what = wanted.requirements or masked(" ".join(wanted.packages))
        log.info("installing packages", extra={"packages": what})
        try:
            self._run(command)
        finally:
            self._has_changed = fingerprint(environment) != before
            if self._has_changed:
                self._note_change()

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
            raise failure_of(process.returncode, output)

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
                    env=install_variables(),
                    umask=READABLE,
                )
            except OSError as error:
                raise InstallFailed(f"cannot run {command[0]}: {error}") from error
            return self._process


def _kill(process: subprocess.Popen[str]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
