"""Start one worker behind given layers, with its control group and its way to the network.

The worker learns from its launch document what it has to put on itself; the rest is put on from
outside (`engine.sandbox.launch`). Any thread may call.
"""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace

from engine.model.grants import Grants
from engine.model.limits import Limits
from engine.sandbox import seccomp
from engine.sandbox.egress import Egress, EgressHandle, OwnAddress
from engine.sandbox.groups import Cgroups, Group
from engine.sandbox.launch import Launcher, Start
from engine.sandbox.listener import receive_listener
from engine.sandbox.policy import Layers, Policy, landlock_rules
from engine.sandbox.rlimits import rlimits

__all__ = ["Enclosed", "Encloser", "Order"]

_HANDOVER_S = 10.0
_TOKEN_BYTES = 16
_ABI_OF_MOVES = 2
_IN_MEMORY = ("/tmp", "/dev/shm")  # noqa: S108  the worker's own


@dataclass(frozen=True, slots=True)
class Order:
    """A worker to start.

    Args:
        policy: what it may see.
        grants: of its trigger, with those that all have.
        limits: that count for it.
        label: its trigger's name.
        command: program and arguments; the number of the document's descriptor is added.
        document: makes the launch document, given what it is to say of the confinement.
        own_address: host and port of this server, for plugins that may call it.
        may_be_less: whether it is started though this machine cannot hold it to the hosts that it
            was granted: programs of the server's own, never plugins.
        moves_files: whether it has to move files from folder to folder, which Landlock forbids
            altogether before its ABI 2; it does without Landlock then.
    """

    policy: Policy
    grants: Grants
    limits: Limits
    label: str
    command: Sequence[str]
    document: Callable[[Mapping[str, object] | None], bytes]
    own_address: OwnAddress = ("127.0.0.1", 0)
    may_be_less: bool = False
    moves_files: bool = False


@dataclass(frozen=True, slots=True)
class Enclosed:
    """A worker that was started, and what belongs to it outside of its process.

    Args:
        popen: bubblewrap, or the worker itself; the end of it is the end of all.
        has_namespaces: whether it is bubblewrap, which tells a signal by its exit status.
        group: its control group.
        outlet: its way to the network.
    """

    popen: subprocess.Popen[bytes]
    has_namespaces: bool
    group: Group | None
    outlet: EgressHandle | None

    def release(self) -> None:
        """End whatever is left of it, and let go of what it had."""
        if self.outlet is not None:
            self.outlet.close()
        if self.group is not None:
            self.group.remove()


@dataclass(frozen=True, slots=True)
class _Handover:
    """The two ends by which a worker hands over its listener, and to whom; with its token."""

    ours: socket.socket
    theirs: socket.socket
    token: str
    egress: Egress


class Encloser:
    """Starts workers behind certain layers.

    Args:
        layers: to put on; none at all starts a worker as any other program.
        cgroups: where groups are made, if anywhere.
        egress: the way out for plugins that were granted hosts; none have one without.
        launcher: shared, or a new one.
    """

    def __init__(
        self,
        layers: Layers,
        cgroups: Cgroups | None = None,
        egress: Egress | None = None,
        launcher: Launcher | None = None,
    ) -> None:
        self.layers = layers
        self._cgroups = cgroups
        self._egress = egress
        self._launcher = launcher or Launcher()

    @property
    def is_on(self) -> bool:
        """Whether anything confines the workers."""
        return self.layers != Layers()

    def start(self, order: Order, output: int) -> Enclosed:
        """Start a worker.

        Args:
            order: what to start.
            output: descriptor for what it prints.

        Raises:
            SandboxUnavailable: it cannot be confined.
            ProtocolFault, TimeoutError: it did not hand over its way out.
            OSError: the system refuses a step.
        """
        with ExitStack() as ours:
            handover = self._handover(order.grants, ours)
            descriptors = () if handover is None else (handover.theirs.fileno(),)
            start = Start(
                order.policy,
                self.layers,
                order.command,
                order.document(self._confinement(order, handover)),
                output,
                descriptors,
            )
            group = self._group(order)
            started = self._launcher.start(start, group)
            enclosed = Enclosed(started.popen, self.layers.bwrap is not None, group, None)
            if handover is None:
                return enclosed
            handover.theirs.close()  # so that its end is noticed
            return self._let_out(order, enclosed, handover)

    def _group(self, order: Order) -> Group | None:
        if self._cgroups is None or self.layers.cgroup is None:
            return None
        return self._cgroups.make(order.label, order.limits)

    def _confinement(self, order: Order, handover: _Handover | None) -> Mapping[str, object] | None:
        """Return what the launch document says; see `worker.confinement`."""
        if not self.is_on:
            return None
        policy, layers, grants = order.policy, self.layers, order.grants
        in_memory = _IN_MEMORY if layers.bwrap is not None else ()
        least_abi = _ABI_OF_MOVES if order.moves_files else 1
        rules = landlock_rules(policy, layers) if layers.landlock_abi >= least_abi else None
        machine = os.uname().machine
        return {
            "uid": policy.uid,
            "rlimits": rlimits(
                order.limits, has_cgroup=layers.cgroup is not None, has_own_uid=layers.own_uid
            ),
            "tmp": [(path, policy.tmp_bytes, policy.tmp_inodes) for path in in_memory],
            "rules": rules,
            "with_exec": grants.subprocess,
            "seccomp": seccomp.load(
                machine, subprocess=grants.subprocess, network=grants.has_network
            )
            if layers.seccomp
            else None,
            "outlet": None if handover is None else (handover.theirs.fileno(), handover.token),
        }

    def _handover(self, grants: Grants, ours: ExitStack) -> _Handover | None:
        if not self.is_on or not grants.has_network or self._egress is None:
            return None
        pair = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for end in pair:
            ours.callback(end.close)
        return _Handover(*pair, secrets.token_hex(_TOKEN_BYTES), self._egress)

    @staticmethod
    def _let_out(order: Order, enclosed: Enclosed, handover: _Handover) -> Enclosed:
        try:
            listener = receive_listener(handover.ours, _HANDOVER_S)
            handle = handover.egress.attach(
                listener, handover.token, order.grants, order.label, order.own_address
            )
        except BaseException:
            enclosed.popen.kill()
            enclosed.popen.wait()
            enclosed.release()
            raise
        return replace(enclosed, outlet=handle)
