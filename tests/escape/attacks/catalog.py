"""What an attack is, what it knows, and the table of all of them.

The modules beside this one are a plugin folder: a server runs them as it runs anybody's plugin,
and the tests import the same modules for the table. An attack is a function of the world and the
plugin API. It returns how it escaped, or None; an OSError or MemoryError says that it was refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

SECRET = "escape-secret:"  # what every secret of the world begins with
MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class World:
    """All that an attacker could ever find out about the machine.

    Args:
        outside: a folder that is nobody's business, readable and writable by everybody.
        secret: a file in it, readable by everybody.
        data_dir: of the server.
        plugin_dir: of the server, as on the host.
        runtime_dir: where the runtime folders of workers are.
        victim_code: the file of another trigger's plugin.
        victim_state: a file that the other trigger's plugin keeps.
        victim_endpoint: the socket at which the server talks to the other trigger's worker.
        victim_pid: of the other trigger's worker.
        server_pid: of the server.
        http_port: of the server.
        tcp_port: of a listener on the loopback address.
        udp_port: likewise.
        unix_path: of a listener with a name in the file system.
        abstract_name: of a listener with a name beside it, without the leading zero.
        shm_name: of a file in /dev/shm.
        sysv_key: of a shared memory segment that everybody may use.
        memory_file: path by which a file without a name can be opened by way of /proc.
        mark: a name that nothing else has; at most 15 characters.
    """

    outside: str
    secret: str
    data_dir: str
    plugin_dir: str
    runtime_dir: str
    victim_code: str
    victim_state: str
    victim_endpoint: str
    victim_pid: int
    server_pid: int
    http_port: int
    tcp_port: int
    udp_port: int
    unix_path: str
    abstract_name: str
    shm_name: str
    sysv_key: int
    memory_file: str
    mark: str


Local = Any  # `influxdb3_local`
Run = Callable[[World, Local], str | None]


@dataclass(frozen=True, slots=True)
class Attack:
    """One attack.

    Args:
        run: tries it.
        is_deadly: the worker may die of it, or be killed, so that no verdict comes back.
        needs_server: it may hurt the server, so it has one of its own.
        is_lasting: where nothing stops it, the server does not work afterwards, or as the
            attacker likes; it has one of its own there.
        is_heavy: takes seconds, or much of the machine, where nothing stops it.
        limits: of its trigger.
        grants: of its trigger, where there is a sandbox.
    """

    run: Run
    is_deadly: bool = False
    needs_server: bool = False
    is_lasting: bool = False
    is_heavy: bool = False
    limits: Mapping[str, object] = field(default_factory=dict)
    grants: tuple[str, ...] = ()


ATTACKS: dict[str, Attack] = {}


def attack(
    *,
    is_deadly: bool = False,
    needs_server: bool = False,
    is_lasting: bool = False,
    is_heavy: bool = False,
    limits: Mapping[str, object] | None = None,
    grants: tuple[str, ...] = (),
) -> Callable[[Run], Run]:
    """Enter a function into the table, under the name of its module and its own."""

    def enter(run: Run) -> Run:
        name = f"{run.__module__.rpartition('.')[2]}_{run.__name__}"
        ATTACKS[name] = Attack(
            run,
            is_deadly=is_deadly,
            needs_server=needs_server,
            is_lasting=is_lasting,
            is_heavy=is_heavy,
            limits=limits or {},
            grants=grants,
        )
        return run

    return enter
