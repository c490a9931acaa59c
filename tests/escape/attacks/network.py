"""Network: reaching anything by a socket, without a grant.

A safe engine gives a worker no new socket of any family, and a network of its own with nothing in
it, so that either of the two alone would be enough.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path

from .catalog import Local, World, attack

_TIMEOUT_S = 2.0
_LOCAL = "127.0.0.1"
_NETLINK_SOCK_DIAG = 4
_ETH_P_ALL = 0x0300
_QUESTION = (
    b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x07example\x03com\x00\x00\x01\x00\x01"
)
_FAMILIES = {
    "AF_AX25": 3,
    "AF_IPX": 4,
    "AF_APPLETALK": 5,
    "AF_X25": 9,
    "AF_RDS": 21,
    "AF_CAN": 29,
    "AF_TIPC": 30,
    "AF_BLUETOOTH": 31,
    "AF_ALG": 38,
    "AF_QIPCRTR": 42,
    "AF_SMC": 43,
    "AF_XDP": 44,
}


def _connect(family: int, address: tuple[str, int] | str | bytes) -> None:
    with socket.socket(family, socket.SOCK_STREAM) as client:
        client.settimeout(_TIMEOUT_S)
        client.connect(address)


@attack()
def tcp_loopback(world: World, local: Local) -> str | None:
    """Try: connect to a listener on the host's loopback address. Safe: unreachable."""
    _connect(socket.AF_INET, (_LOCAL, world.tcp_port))
    return "connected"


@attack()
def tcp_server(world: World, local: Local) -> str | None:
    """Try: ask the server's own HTTP port, which was not granted. Safe: unreachable."""
    with socket.create_connection((_LOCAL, world.http_port), _TIMEOUT_S) as client:
        client.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        return f"the server answered {client.recv(64)!r}"


@attack()
def tcp_mapped(world: World, local: Local) -> str | None:
    """Try: the same listener by its IPv6 form. Safe: unreachable."""
    _connect(socket.AF_INET6, ("::ffff:127.0.0.1", world.tcp_port))
    return "connected"


@attack()
def tcp_interface(world: World, local: Local) -> str | None:
    """Try: listen where others can connect. Judged from outside. Safe: nobody can."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.bind(("", 0))
    listener.listen()
    _kept.append(listener)  # open until the worker ends
    return f"port {listener.getsockname()[1]}"


_kept: list[socket.socket] = []


@attack()
def tcp_fast_open(world: World, local: Local) -> str | None:
    """Try: connect by sending, which a filter of `connect` alone overlooks. Safe: refused."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as client:
        client.sendto(b"x", socket.MSG_FASTOPEN, (_LOCAL, world.tcp_port))
    return "sent the first byte"


@attack()
def multipath_tcp(world: World, local: Local) -> str | None:
    """Try: connect by another protocol that speaks TCP. Safe: refused."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_MPTCP) as client:
        client.settimeout(_TIMEOUT_S)
        client.connect((_LOCAL, world.tcp_port))
    return "connected"


@attack()
def udp_loopback(world: World, local: Local) -> str | None:
    """Try: send a datagram to a listener. Judged from outside. Safe: it does not arrive."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(world.mark.encode(), (_LOCAL, world.udp_port))
    return "sent"


@attack()
def name_lookup(world: World, local: Local) -> str | None:
    """Try: ask a name server, a channel to the outside of its own. Safe: it cannot be sent."""
    servers = [_LOCAL]
    if Path("/etc/resolv.conf").exists():
        lines = Path("/etc/resolv.conf").read_text().splitlines()
        servers = [line.split()[1] for line in lines if line.startswith("nameserver")] or servers
    family = socket.AF_INET6 if ":" in servers[0] else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sender:
        sender.sendto(_QUESTION, (servers[0], 53))
    return f"asked {servers[0]}"


@attack()
def multicast(world: World, local: Local) -> str | None:
    """Try: send to everybody in the network. Safe: refused."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 0)
        sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(_LOCAL))
        sender.sendto(b"x", ("224.0.0.251", 5353))
    return "sent"


@attack()
def vsock(world: World, local: Local) -> str | None:
    """Try: a socket to the host of this virtual machine, outside every namespace. Safe: none."""
    with socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM) as client:
        client.settimeout(_TIMEOUT_S)
        return f"has a socket to the host: {client.connect_ex((socket.VMADDR_CID_HOST, 1))}"


@attack()
def netlink(world: World, local: Local) -> str | None:
    """Try: talk to the kernel's network configuration. Safe: no such socket."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as client:
        client.bind((0, 0))
    return "bound a netlink socket"


@attack()
def netlink_diagnosis(world: World, local: Local) -> str | None:
    """Try: list the sockets of the machine. Safe: no such socket."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, _NETLINK_SOCK_DIAG) as client:
        client.bind((0, 0))
    return "bound a netlink socket"


@attack()
def raw_socket(world: World, local: Local) -> str | None:
    """Try: forge packets. Safe: not permitted."""
    socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP).close()
    return "opened a raw socket"


@attack()
def packet_socket(world: World, local: Local) -> str | None:
    """Try: listen to all traffic. Safe: not permitted."""
    socket.socket(socket.AF_PACKET, socket.SOCK_RAW, _ETH_P_ALL).close()
    return "opened a packet socket"


@attack()
def rare_families(world: World, local: Local) -> str | None:
    """Try: sockets of rare families, whose code is seldom looked at. Safe: none can be made."""
    opened = []
    for name, family in _FAMILIES.items():
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW, socket.SOCK_SEQPACKET):
            try:
                socket.socket(family, kind).close()
            except OSError:
                continue
            opened.append(name)
    return f"opened {opened[0]}" if opened else None


@attack()
def unix_named(world: World, local: Local) -> str | None:
    """Try: connect to a unix socket that everybody may connect to. Safe: it is not there."""
    _connect(socket.AF_UNIX, world.unix_path)
    return "connected"


@attack()
def unix_abstract(world: World, local: Local) -> str | None:
    """Try: connect to a unix socket that has no file, so no file mode. Safe: refused."""
    _connect(socket.AF_UNIX, b"\0" + world.abstract_name.encode())
    return "connected"


@attack()
def unix_datagram(world: World, local: Local) -> str | None:
    """Try: speak to the system's log, bus or container daemon. Safe: none is there."""
    for path in ("/run/docker.sock", "/run/dbus/system_bus_socket", "/run/systemd/notify"):
        if os.path.exists(path):
            _connect(socket.AF_UNIX, path)
            return f"connected to {path}"
    return None


@attack()
def interfaces(world: World, local: Local) -> str | None:
    """Try: list the interfaces and connections of the machine. Safe: the own loopback only."""
    lines = Path("/proc/self/net/dev").read_text().splitlines()[2:]
    names = {line.split(":")[0].strip() for line in lines} - {"lo"}
    listeners = Path("/proc/self/net/unix").read_text()
    if world.unix_path in listeners:
        names.add(world.unix_path)
    return f"sees {sorted(names)}" if names else None
