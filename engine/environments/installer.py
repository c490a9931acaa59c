"""Installs packages in place, into an environment of the user's own, with uv or its own pip.

uv finds and fetches everything before it changes the environment, so that what cannot be had
changes nothing. The installer's exit status decides; whether something changed is seen in the
folder itself, because an installer that was stopped may have begun.

To look at an environment that is filled is to start its Python, which runs code of its packages.
So the installer is given nothing to write to but the environment: no cache that others have. Its
Python is put back when it was replaced, since the server starts that.

    submit => our one thread: check -> environment -> installer -> changed? -> answer -> workers

Any thread may call `submit` and `stop`.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from engine.environments.backend import NOTHING_ASKED, Supply
from engine.environments.environment import Environment
from engine.environments.failures import failure_in
from engine.environments.installation import (
    Wanted,
    fingerprint,
    install_command,
    masked,
    read_requirements,
)
from engine.environments.intake import keep_python
from engine.environments.inventory import FILE
from engine.environments.requirements import check_packages, check_requirements
from engine.environments.running import Command, Run
from engine.errors import Busy, InvalidParameter, Stopping, UserError

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
        run: runs the installer, and holds it.
        supply: where packages come from.
        note_change: called when the packages have changed, before whoever asked is answered.
        on_changed: called after that, to have the workers renewed.
    """

    def __init__(
        self,
        environment: Callable[[], Environment],
        package_manager: str,
        run: Run,
        supply: Supply,
        *,
        note_change: Callable[[], None],
        on_changed: Callable[[], None],
    ) -> None:
        self._environment = environment
        self._package_manager = package_manager
        self._run = run
        self._supply = supply
        self._note_change = note_change
        self._on_changed = on_changed
        self._free = threading.Semaphore(_MOST_WAITING)
        self._is_stopping = False
        self._has_changed = False  # of the thread
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="installer")

    def submit(self, wanted: Wanted) -> Future[None]:
        """Queue an installation.

        Returns:
            A future that raises PackagesUnavailable, InstallFailed, InvalidParameter,
            BrokenEnvironment or Stopping.

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
        """Refuse what waits and what comes; to be called once what runs is given up."""
        self._is_stopping = True
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
        _refuse_foreign(environment)
        command = self._command(environment, wanted)
        before = fingerprint(environment)
        what = wanted.requirements or masked(" ".join(wanted.packages))
        log.info("installing packages", extra={"packages": what})
        try:
            if self._is_stopping:
                raise Stopping
            finished = self._run(command)
        finally:
            keep_python(environment.root, environment.interpreter)
            self._has_changed = fingerprint(environment) != before
            if self._has_changed:
                self._note_change()
        if finished.status != 0:
            raise failure_in(finished.status, finished.output, NOTHING_ASKED)

    def _command(self, environment: Environment, wanted: Wanted) -> Command:
        argv = install_command(environment, self._package_manager, wanted, self._supply.wheel_dir)
        listed = () if wanted.requirements is None else (Path(wanted.requirements).absolute(),)
        return Command(
            argv=tuple(argv),
            reads=(
                environment.interpreter,
                *environment.prefixes,
                *listed,
                *(path for path in map(Path, wanted.packages) if path.is_file()),
                *self._supply.reads,
            ),
            writes=(environment.root,),
            runs_packages=True,
            network=self._supply.wheel_dir is None,
            timeout_s=self._supply.timeout_s,
        )


def _refuse_foreign(environment: Environment) -> None:
    """Refuse to change what a server has built and counts on, as one with the same plugin folder.

    Raises:
        InvalidParameter: it is such an environment.
    """
    if (environment.root / FILE).exists():
        raise InvalidParameter(
            f"{environment.root} leads to an environment of another server; install the packages "
            "there, or remove the link to have one made for this server"
        )
