"""How this process is confined, as the engine says it, and the order in which it is put on.

    enter   limits -> own user id -> outlet -> Landlock      before any other thread
    seal    seccomp, for all threads                         after ZeroMQ is connected

The order is forced: a change of the user id clears the parent-death signal; Landlock forbids to
bind the outlet; ZeroMQ needs sockets that seccomp forbids to make.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from worker import confine
from worker.outlet import open_outlet, proxy_variables

__all__ = ["Confinement", "Outlet", "enter", "seal"]


@dataclass(frozen=True, slots=True)
class Outlet:
    """The way to the engine's proxy.

    Args:
        descriptor: of the socket over which the listener is handed to the engine.
        token: what the proxy asks for.
    """

    descriptor: int
    token: str


@dataclass(frozen=True, slots=True)
class Confinement:
    """The layers that a process puts on itself.

    Args:
        uid: the user and group to become; None to stay.
        rlimits: limits of this process, as (resource, soft, hard).
        tmp: file systems in memory to bound, as (path, bytes, files).
        rules: what Landlock leaves open, as (path, access); None to do without.
        with_exec: whether programs may be started.
        seccomp: the filter's program; None to do without.
        outlet: the way to the proxy; None without network.
    """

    uid: int | None = None
    rlimits: tuple[tuple[int, int, int], ...] = ()
    tmp: tuple[tuple[str, int, int], ...] = ()
    rules: tuple[tuple[str, str], ...] | None = None
    with_exec: bool = False
    seccomp: bytes | None = None
    outlet: Outlet | None = None

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any] | None) -> Confinement:
        """Return what the map of a launch document says; None leaves the process as it is."""
        if fields is None:
            return cls()
        rules, outlet = fields["rules"], fields["outlet"]
        return cls(
            uid=fields["uid"],
            rlimits=tuple((which, soft, hard) for which, soft, hard in fields["rlimits"]),
            tmp=tuple((path, size, files) for path, size, files in fields["tmp"]),
            rules=None if rules is None else tuple((path, access) for path, access in rules),
            with_exec=fields["with_exec"],
            seccomp=fields["seccomp"],
            outlet=None if outlet is None else Outlet(*outlet),
        )


def enter(confinement: Confinement) -> int:
    """Put on what can be before ZeroMQ is connected; the main thread, while it is the only one.

    Returns:
        The ABI of Landlock that is in force, 0 for none.

    Raises:
        OSError: a layer cannot be put on; nothing of the plugin's may run then.
    """
    if confinement == Confinement():
        return 0
    confine.limit(list(confinement.rlimits))
    confine.become(confinement.uid, confinement.uid, list(confinement.tmp))
    port = None
    if confinement.outlet is not None:
        port = open_outlet(confinement.outlet.descriptor)
        os.environ.update(proxy_variables(port, confinement.outlet.token))
    if confinement.rules is None:
        return 0
    return confine.restrict(list(confinement.rules), port, confinement.with_exec)


def seal(confinement: Confinement) -> None:
    """Put on the rest, for all threads and those to come.

    Raises:
        OSError: it cannot be put on.
    """
    if confinement.seccomp is not None:
        confine.seal(confinement.seccomp)
