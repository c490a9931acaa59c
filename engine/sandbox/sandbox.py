"""How the workers of one server are confined: found out once, then put on each of them.

    required       plugins run at level B or better, or not at all
    best-effort    whatever the machine has is put on
    off            nothing is

`open` is called once, before the first worker is started; then any thread may call.
"""

from __future__ import annotations

import hashlib
import os
from functools import partial
from pathlib import Path

from engine.sandbox import cgroup, seccomp
from engine.sandbox.egress import Egress
from engine.sandbox.enclose import Enclosed, Encloser, Order
from engine.sandbox.groups import Cgroups
from engine.sandbox.launch import Launcher, SandboxUnavailable
from engine.sandbox.policy import Layers
from engine.sandbox.probe import probe
from engine.sandbox.report import Report, report_of, unconfined
from engine.sandbox.uids import own_uid

__all__ = ["Enclosed", "Order", "Sandbox"]

_BWRAP = "/usr/bin/bwrap"
_NAME_CHARACTERS = 12


class Sandbox:
    """The confinement of one server's workers.

    Args:
        mode: `required`, `best-effort` or `off`.
        server: what tells this server from others on the machine, as its data folder and node.
        bwrap: the program bubblewrap; the system's if empty.
        egress: the way out for plugins that were granted hosts.
    """

    def __init__(
        self, mode: str = "off", server: str = "", bwrap: str = "", egress: Egress | None = None
    ) -> None:
        self.mode = mode
        self.report: Report = unconfined("the sandbox is off")
        self._server = server
        self._bwrap = bwrap or _BWRAP
        self._egress = egress
        self._launcher = Launcher()
        self._encloser = Encloser(Layers(), launcher=self._launcher)
        self._cgroups: Cgroups | None = None

    @property
    def layers(self) -> Layers:
        """What is put on each worker."""
        return self._encloser.layers

    @property
    def is_on(self) -> bool:
        """Whether anything confines the workers."""
        return self._encloser.is_on

    def open(self) -> None:
        """Find out what this machine enforces; takes some tenths of a second."""
        if self.mode == "off":
            return
        name = hashlib.sha256(self._server.encode()).hexdigest()[:_NAME_CHARACTERS]
        cgroups = self._cgroups = cgroup.find(name)
        hopes, missing = self._hopes(cgroups)
        trial = probe(partial(self._try, cgroups), hopes, missing, self.uid(0))
        self.report = report_of(trial)
        self._encloser = Encloser(trial.layers, cgroups, self._egress, self._launcher)

    def close(self) -> None:
        """Give back the control groups; no worker is left."""
        if self._cgroups is not None:
            self._cgroups.close()

    def check(self) -> None:
        """Check that plugins may be run.

        Raises:
            SandboxUnavailable: a sandbox is required, and this machine has too little of one.
        """
        if self.mode == "required" and not self.report.level.may_run_plugins:
            advice = "; ".join(self.report.advice) or "`bulkhead show sandbox` says why"
            raise SandboxUnavailable(
                f"this machine cannot confine plugins, so none is run: {advice}; "
                "or start the server with --sandbox best-effort"
            )

    def uid(self, trigger_id: int) -> int | None:
        """Return the user id that workers of a trigger run under, None for the server's."""
        return None if self.mode == "off" else own_uid(trigger_id, self._server)

    def start(self, order: Order, output: int) -> Enclosed:
        """Start a worker; see `Encloser.start`.

        Raises:
            SandboxUnavailable: also when it was granted a network that would be open to it whole.
        """
        is_held = self.layers.bwrap is not None or not order.grants.has_network
        if self.mode == "required" and not is_held and not order.may_be_less:
            raise SandboxUnavailable(
                f"trigger {order.label!r} was granted a network, and without bubblewrap this "
                "machine cannot hold a plugin to the hosts that it was granted, so it is not run: "
                "install bubblewrap and allow it user namespaces, take the grant away, or start "
                "the server with --sandbox best-effort"
            )
        return self._encloser.start(order, output)

    def _try(self, cgroups: Cgroups | None, layers: Layers, order: Order, output: int) -> Enclosed:
        return Encloser(layers, cgroups, launcher=self._launcher).start(order, output)

    def _hopes(self, cgroups: Cgroups | None) -> tuple[Layers, dict[str, str]]:
        missing: dict[str, str] = {}
        machine = os.uname().machine
        if not Path(self._bwrap).exists():
            missing["bwrap"] = f"there is no {self._bwrap}"
        if machine not in seccomp.ARCHITECTURES:
            missing["seccomp"] = f"no filter is made for {machine}"
        if cgroups is None:
            missing["cgroup"] = "the server has no control groups of its own"
        elif "cpu" not in cgroups.holds:
            missing["cpu"] = "the server's control groups do not hold the CPU"
        if self.uid(0) is None:
            missing["own_uid"] = "the server does not run as root"
        return (
            Layers(
                bwrap=None if "bwrap" in missing else self._bwrap,
                landlock_abi=1,
                seccomp="seccomp" not in missing,
                cgroup=None if cgroups is None else cgroups.kind,
                own_uid="own_uid" not in missing,
            ),
            missing,
        )
